# The role that iam-key-exporter assumes in an account. Apply it in each member account, with a
# provider of that account.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "exporter_role_arn" {
  description = "The ARN of the role that the exporter itself runs with."
  type        = string
}

variable "external_id" {
  description = "The external id that the exporter is configured with; null asks for none."
  type        = string
  default     = null
}

variable "role_name" {
  description = "The name of the role; the exporter is configured with the same."
  type        = string
  default     = "iam-key-exporter"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = [var.exporter_role_arn]
    }

    dynamic "condition" {
      for_each = var.external_id == null ? [] : [var.external_id]
      content {
        test     = "StringEquals"
        variable = "sts:ExternalId"
        values   = [condition.value]
      }
    }
  }
}

resource "aws_iam_role" "exporter" {
  name                 = var.role_name
  description          = "Read by iam-key-exporter. It can change nothing and read no secret."
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "keys" {
  name   = "read-access-key-metadata"
  role   = aws_iam_role.exporter.id
  policy = file("${path.module}/../../iam-policy.json")
}

# For rules and labels that go by the tags of users; leave it out if there are none.
resource "aws_iam_role_policy" "tags" {
  name   = "read-user-tags"
  role   = aws_iam_role.exporter.id
  policy = file("${path.module}/../../iam-policy-tags.json")
}

output "role_arn" {
  description = "What to list under accounts, or whose name to give under organization."
  value       = aws_iam_role.exporter.arn
}
