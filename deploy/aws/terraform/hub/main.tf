# What the role that iam-key-exporter itself runs with is allowed beside reading its own account.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "exporter_role_name" {
  description = "The name of the role that the exporter runs with."
  type        = string
}

variable "member_role_name" {
  description = "The name of the role in the member accounts, with its path if it has one."
  type        = string
  default     = "iam-key-exporter"
}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "hub" {
  statement {
    sid       = "EnterTheMemberAccounts"
    actions   = ["sts:AssumeRole"]
    resources = ["arn:${data.aws_partition.current.partition}:iam::*:role/${var.member_role_name}"]
  }

  # ListAccounts works in the management account and in a delegated administrator's.
  statement {
    sid = "FindTheMemberAccounts"
    actions = [
      "organizations:ListAccounts",
      "organizations:ListAccountsForParent",
      "organizations:ListOrganizationalUnitsForParent",
      "organizations:ListTagsForResource",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "hub" {
  name   = "iam-key-exporter-hub"
  role   = var.exporter_role_name
  policy = data.aws_iam_policy_document.hub.json
}
