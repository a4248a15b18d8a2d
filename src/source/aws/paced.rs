//! The HTTP client of the SDK, with the gate before it.

use std::time::Duration;

use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use tokio::time::timeout;

use super::pace::Pass;

/// Makes the attempts of a call as the gate lets them through, and limits their time from there on.
/// The SDK's own limit would count the time in the queue as well.
#[derive(Debug)]
pub(super) struct PacedClient {
    pub(super) client: SharedHttpClient,
    /// One attempt, from the request to the end of the answer.
    pub(super) limit: Duration,
}

impl HttpClient for PacedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(PacedConnector {
            connector: self.client.http_connector(settings, components),
            limit: self.limit,
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct PacedConnector {
    connector: SharedHttpConnector,
    limit: Duration,
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Some(pass) = Pass::current() else {
            return self.connector.call(request);
        };
        let (connector, limit) = (self.connector.clone(), self.limit);
        HttpConnectorFuture::new(async move {
            let attempt = async {
                timeout(limit, exchange(&connector, request))
                    .await
                    .unwrap_or_else(|elapsed| Err(ConnectorError::timeout(elapsed.into())))
            };
            pass.attempt(attempt, Result::is_ok).await
        })
    }
}

/// Sends the request and takes the whole answer.
async fn exchange(
    connector: &SharedHttpConnector,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let mut response = connector.call(request).await?;
    let body = ByteStream::new(response.take_body())
        .collect()
        .await
        .map_err(|error| ConnectorError::io(error.into()))?;
    *response.body_mut() = SdkBody::from(body.into_bytes());
    Ok(response)
}
