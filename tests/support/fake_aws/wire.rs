//! The query protocol on the wire: forms in, XML out.

use std::borrow::Cow;

use hyper::StatusCode;
use quick_xml::escape::escape;
use serde_json::json;

use super::operation::{Operation, Service};

/// The fields of a request.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The fields of a JSON object that are texts or numbers, under the same names.
    pub(super) fn from_json(body: &[u8]) -> Result<Self, Failure> {
        use serde_json::Value;
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err(Failure::of(ErrorCode::SerializationException));
        };
        let text = |value| match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let fields = fields.into_iter();
        Ok(Self(
            fields
                .filter_map(|(name, value)| Some((name, text(value)?)))
                .collect(),
        ))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An error as the services name it, with its HTTP status
/// (IAM API reference, "Common Errors" and the errors of each operation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// 403: a permission is missing.
    AccessDenied,
    /// 403: temporary credentials ran out.
    ExpiredToken,
    /// 400: no such action in this version of the API.
    InvalidAction,
    /// 403: the access key id is not known.
    InvalidClientTokenId,
    /// 409: a limit of the account is reached.
    LimitExceeded,
    /// 400: no action was named.
    MissingAction,
    /// 403: the request isn't signed.
    MissingAuthenticationToken,
    /// 404: no such user, key, …
    NoSuchEntity,
    /// 410: the report is too old.
    ReportExpired,
    /// 404: the report isn't ready yet.
    ReportInProgress,
    /// 410: there is no report.
    ReportNotPresent,
    /// 403: the signature is wrong, e.g. a wrong secret.
    SignatureDoesNotMatch,
    /// 500: IAM's own trouble.
    ServiceFailure,
    /// 503: IAM's own trouble.
    ServiceUnavailable,
    /// 400: too many calls.
    Throttling,
    /// 400: a parameter is out of range.
    ValidationError,
    /// 400, of Organizations: the caller is in no organization.
    OrganizationsNotInUse,
    /// 400, of Organizations: no such root or organizational unit.
    ParentNotFound,
    /// 400, of protocols in JSON: the body isn't a JSON object.
    SerializationException,
    /// 400, of Organizations: no such account, root or organizational unit.
    TargetNotFound,
    /// 400, of protocols in JSON: no such operation.
    UnknownOperation,
}

impl ErrorCode {
    /// The text of `<Code>`.
    pub fn code(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::ExpiredToken => "ExpiredToken",
            Self::InvalidAction => "InvalidAction",
            Self::InvalidClientTokenId => "InvalidClientTokenId",
            Self::LimitExceeded => "LimitExceeded",
            Self::MissingAction => "MissingAction",
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::NoSuchEntity => "NoSuchEntity",
            Self::ReportExpired => "ReportExpired",
            Self::ReportInProgress => "ReportInProgress",
            Self::ReportNotPresent => "ReportNotPresent",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::ServiceFailure => "ServiceFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Throttling => "Throttling",
            Self::ValidationError => "ValidationError",
            Self::OrganizationsNotInUse => "AWSOrganizationsNotInUseException",
            Self::ParentNotFound => "ParentNotFoundException",
            Self::SerializationException => "SerializationException",
            Self::TargetNotFound => "TargetNotFoundException",
            Self::UnknownOperation => "UnknownOperationException",
        }
    }

    /// The end of `__type` in JSON: where a service has both protocols, many errors have another name there.
    fn json_code(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::InvalidClientTokenId => "UnrecognizedClientException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::SignatureDoesNotMatch => "InvalidSignatureException",
            Self::ServiceFailure => "ServiceException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::Throttling => "TooManyRequestsException",
            Self::ValidationError => "InvalidInputException",
            other => other.code(),
        }
    }

    /// The HTTP status it comes with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidAction
            | Self::MissingAction
            | Self::OrganizationsNotInUse
            | Self::ParentNotFound
            | Self::SerializationException
            | Self::TargetNotFound
            | Self::Throttling
            | Self::UnknownOperation
            | Self::ValidationError => StatusCode::BAD_REQUEST,
            Self::AccessDenied
            | Self::ExpiredToken
            | Self::InvalidClientTokenId
            | Self::MissingAuthenticationToken
            | Self::SignatureDoesNotMatch => StatusCode::FORBIDDEN,
            Self::NoSuchEntity | Self::ReportInProgress => StatusCode::NOT_FOUND,
            Self::LimitExceeded => StatusCode::CONFLICT,
            Self::ReportExpired | Self::ReportNotPresent => StatusCode::GONE,
            Self::ServiceFailure => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What AWS says with it, as far as that doesn't depend on the request.
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::AccessDenied => "Access denied",
            Self::ExpiredToken => "The security token included in the request is expired",
            Self::InvalidAction | Self::MissingAction => {
                "The action is not valid for this endpoint"
            }
            Self::InvalidClientTokenId => "The security token included in the request is invalid.",
            Self::LimitExceeded => "The request was rejected because a limit was exceeded",
            Self::MissingAuthenticationToken => "Request is missing Authentication Token",
            Self::NoSuchEntity => "The entity cannot be found.",
            // All that IAM says of a report that it cannot hand out.
            Self::ReportExpired | Self::ReportInProgress | Self::ReportNotPresent => "Unknown",
            Self::SignatureDoesNotMatch => {
                "The request signature we calculated does not match the signature you provided."
            }
            Self::ServiceFailure => {
                "The request processing has failed because of an internal failure"
            }
            Self::ServiceUnavailable => "Service Unavailable",
            Self::Throttling => "Rate exceeded",
            Self::ValidationError => "A parameter is out of range",
            Self::OrganizationsNotInUse => "Your account is not a member of an organization.",
            Self::ParentNotFound => "We can't find a parent with the ParentId that you specified.",
            Self::SerializationException => "The body of the request is not a JSON object",
            Self::TargetNotFound => "You specified a target that doesn't exist.",
            Self::UnknownOperation => "The operation is not known",
        }
    }
}

/// An error answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    message: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// With the message that AWS gives.
    pub(super) fn of(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }

    /// As services that speak JSON give it: nearly every error of the client is a 400 there.
    pub(super) fn json(&self) -> (StatusCode, String) {
        let status = match self.code.status() {
            status if status.is_server_error() => status,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({ "__type": self.code.json_code(), "Message": self.message });
        (status, body.to_string())
    }

    pub(super) fn document(&self, service: Service, request_id: &str) -> String {
        let side = if self.code.status().is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        format!(
            "<ErrorResponse xmlns=\"{}\"><Error><Type>{side}</Type>{}{}</Error>{}</ErrorResponse>\n",
            service.namespace(),
            element("Code", self.code.code()),
            element("Message", &self.message),
            element("RequestId", request_id),
        )
    }
}

/// The whole document around an operation's result.
pub(super) fn document(operation: Operation, result: &str, request_id: &str) -> String {
    let name = operation.name();
    let namespace = operation.service().namespace();
    format!(
        "<{name}Response xmlns=\"{namespace}\"><{name}Result>{result}</{name}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>\n"
    )
}

/// An element with text, escaped.
pub(super) fn element(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}
