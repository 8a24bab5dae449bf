output "status_gateways" {
  description = "For `adamant status`, or GATEWAYS of packaging/ci/pipeline.sh."
  value = [
    for gateway in var.gateways : "https://${gateway.host}:${element(split(":", gateway.status), -1)}"
  ]
}
