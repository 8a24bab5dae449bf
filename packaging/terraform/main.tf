# Places an Adamant gateway on hosts that exist: binary, user, gateway.toml, trust root and unit file, and starts it.
#
# No provider is needed: everything goes over SSH. Private keys of listeners are not placed here, because what Terraform
# handles stands in its state; put them into /etc/adamant/tls by the way you place secrets.
#
#   terraform init && terraform apply -var-file=example.tfvars
#
# A changed file is placed again and the gateway restarted; a changed policy is none of Terraform's business: it comes
# as a signed release through the store.

terraform {
  required_version = ">= 1.4"
}

locals {
  gateway_toml = {
    for name, gateway in var.gateways : name => templatefile("${path.module}/gateway.toml.tftpl", {
      policy     = var.policy
      channel    = var.channel
      store      = var.store
      activation = var.activation
      listen     = gateway.listen
      status     = gateway.status
      # Its CA is placed by hand, like the keys of listeners.
      checkpoints = var.witness == "" ? "" : "{ url = \"${var.witness}/${name}\", ca = \"tls/witness-ca.pem\" }"
    })
  }
}

resource "terraform_data" "gateway" {
  for_each = var.gateways

  # A change of any of these places everything again.
  triggers_replace = {
    host         = each.value.host
    binary       = filesha256(var.binary)
    gateway_toml = sha256(local.gateway_toml[each.key])
    trust_root   = filesha256(var.trust_root)
    unit         = filesha256(var.unit)
    sysusers     = filesha256(var.sysusers)
  }

  connection {
    type        = "ssh"
    host        = each.value.host
    user        = var.ssh_user
    private_key = var.ssh_private_key_path == null ? null : file(var.ssh_private_key_path)
    agent       = var.ssh_private_key_path == null
    host_key    = each.value.host_key
  }

  provisioner "remote-exec" {
    inline = [
      "set -eu",
      "rm -rf /tmp/adamant-incoming && mkdir -m 0700 /tmp/adamant-incoming",
    ]
  }

  provisioner "file" {
    source      = var.binary
    destination = "/tmp/adamant-incoming/adamant"
  }

  provisioner "file" {
    content     = local.gateway_toml[each.key]
    destination = "/tmp/adamant-incoming/gateway.toml"
  }

  provisioner "file" {
    source      = var.trust_root
    destination = "/tmp/adamant-incoming/trust-root.json"
  }

  provisioner "file" {
    source      = var.unit
    destination = "/tmp/adamant-incoming/adamant.service"
  }

  provisioner "file" {
    source      = var.sysusers
    destination = "/tmp/adamant-incoming/adamant.sysusers"
  }

  # What arrived is compared with what was sent, checked by the new binary itself, and only then put in place.
  provisioner "remote-exec" {
    inline = [
      "set -eu",
      "cd /tmp/adamant-incoming",
      "echo '${filesha256(var.binary)}  adamant' | sha256sum --check --quiet",
      "echo '${filesha256(var.trust_root)}  trust-root.json' | sha256sum --check --quiet",
      "sudo install -D -m 0644 adamant.sysusers /etc/sysusers.d/adamant.conf",
      "sudo systemd-sysusers /etc/sysusers.d/adamant.conf",
      "sudo install -d -m 0755 /etc/adamant /etc/adamant/tls ${var.store}",
      "sudo install -m 0755 adamant /usr/local/bin/adamant.new",
      "sudo install -m 0644 gateway.toml /etc/adamant/gateway.toml",
      "sudo install -m 0644 trust-root.json /etc/adamant/trust-root.json",
      "sudo install -m 0644 adamant.service /etc/systemd/system/adamant.service",
      "sudo mv /usr/local/bin/adamant.new /usr/local/bin/adamant",
      "rm -rf /tmp/adamant-incoming",
      "sudo systemctl daemon-reload",
      "sudo systemctl enable adamant.service",
      # Without a release in the store there is nothing to serve yet: after the first pointer, start the unit by hand.
      # A gateway that never accepted anything starts from a release that release-wider signed, and from no other.
      "if [ -e ${var.store}/channels/${var.channel}/pointer.json ]; then sudo systemctl restart adamant.service; fi",
    ]
  }
}
