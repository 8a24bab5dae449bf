policy     = "orders-edge"
binary     = "./adamant"
trust_root = "./trust-root.json"

# Where somebody who has taken over a gateway cannot rewrite what was recorded.
witness = "https://witness.corp.example/adamant"

gateways = {
  gw1 = {
    host     = "gw1.corp.example"
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV4YW1wbGUtaG9zdC1rZXktcmVwbGFjZS10aGlzLW9uZSE="
  }
  gw2 = {
    host     = "gw2.corp.example"
    host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV4YW1wbGUtaG9zdC1rZXktcmVwbGFjZS10aGlzLW9uZSE="
    status   = "10.0.0.6:9902"
  }
}
