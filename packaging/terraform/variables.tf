variable "gateways" {
  description = "The hosts, by a name of yours. host_key is the line of the host's SSH key, so that nothing is sent to another one."
  type = map(object({
    host     = string
    host_key = string
    listen   = optional(string, "0.0.0.0:8443")
    status   = optional(string, "0.0.0.0:9902")
  }))
}

variable "ssh_user" {
  description = "Who may log in there and run sudo without a password."
  type        = string
  default     = "deploy"
}

variable "ssh_private_key_path" {
  description = "Its private key; the SSH agent when null."
  type        = string
  default     = null
}

variable "binary" {
  description = "The adamant binary for these hosts."
  type        = string
}

variable "trust_root" {
  description = "The trust root: which keys may sign what. Placed once; its successors come through the store."
  type        = string
}

variable "unit" {
  description = "The systemd unit."
  type        = string
  default     = "../adamant.service"
}

variable "sysusers" {
  description = "The user that the gateway runs as."
  type        = string
  default     = "../adamant.sysusers"
}

variable "policy" {
  description = "Name of the one policy that these gateways may serve."
  type        = string
}

variable "store" {
  description = "Where the store arrives on each host (packaging/ci/publish-rsync.sh)."
  type        = string
  default     = "/srv/adamant"

  validation {
    condition     = can(regex("^/[A-Za-z0-9/._-]+$", var.store))
    error_message = "store must be an absolute path of plain characters."
  }
}

variable "channel" {
  description = "The channel that they follow."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{0,63}$", var.channel))
    error_message = "channel must be 1 to 64 of a-z, 0-9, '.', '_' and '-'."
  }
}

variable "activation" {
  description = "hot: a new release is activated while the gateway runs. restart: at its next start alone."
  type        = string
  default     = "hot"

  validation {
    condition     = contains(["hot", "restart"], var.activation)
    error_message = "activation must be \"hot\" or \"restart\"."
  }
}

variable "witness" {
  description = "An https:// address outside of the hosts that keeps signed checkpoints of the records, one place below it for each gateway; its CA goes to /etc/adamant/tls/witness-ca.pem. While it is empty each start warns."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https://[A-Za-z0-9/:._-]+[A-Za-z0-9])?$", var.witness))
    error_message = "witness must be an https:// address of plain characters, without a slash at its end."
  }
}
