//! What is done at each attempt of each call: a whole answer is insisted on, and it is counted.

use std::sync::Arc;

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{AfterDeserializationInterceptorContextRef, FinalizerInterceptorContextRef},
            dyn_dispatch_hint,
        },
        orchestrator::{HttpResponse, Metadata},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use quick_xml::events::Event;

use super::failure::{NotWhole, attempt_reason};
use crate::counts::{Operation, RequestCounts};

/// Refuses answers that are not whole. The SDK's XML reader takes a document that was cut short for
/// the end of it, so half a list of users would pass for the list of users.
#[derive(Debug)]
pub(super) struct RequireWholeDocuments;

#[dyn_dispatch_hint]
impl Intercept for RequireWholeDocuments {
    fn name(&self) -> &'static str {
        "RequireWholeDocuments"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // An error, be it AWS's or that of a connection cut in the middle, speaks for itself.
        if context.output_or_error().is_err() {
            return Ok(());
        }
        let response = context.response();
        let body = response.body().bytes().unwrap_or_default();
        if is_whole(body) {
            Ok(())
        } else {
            Err(NotWhole.into())
        }
    }
}

/// Whether the text is one XML element, opened, closed, and well-formed in between.
fn is_whole(document: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(document);
    let mut depth = 0_u32;
    let mut roots = 0_u32;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => {
                roots += u32::from(depth == 0);
                depth += 1;
            }
            // The reader itself refuses an end without its start.
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Empty(_)) => roots += u32::from(depth == 0),
            Ok(Event::Eof) => return depth == 0 && roots == 1,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Counts each attempt of each call, and why it failed.
#[derive(Debug)]
pub(super) struct CountAttempts(pub(super) Arc<RequestCounts>);

#[dyn_dispatch_hint]
impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config
            .load::<Metadata>()
            .and_then(|metadata| Operation::from_name(metadata.name()));
        if let Some(operation) = operation {
            let status = context.response().map(HttpResponse::status);
            let failure = match context.output_or_error() {
                Some(Err(error)) => Some(attempt_reason(error, status)),
                Some(Ok(_)) | None => None,
            };
            self.0.count(operation, failure);
        }
        Ok(())
    }
}
