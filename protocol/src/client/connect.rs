//! Opening a socket: the upgrade, and what a server says against it.

use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self,
        client::IntoClientRequest,
        http::{HeaderValue, header::AUTHORIZATION},
        protocol::WebSocketConfig,
    },
};

use super::{ClientError, Options, address::socket_address};
use crate::fault::Fault;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The size of the buffer that is read into at once, in bytes.
const READ_BUFFER: usize = 8 * 1024;

/// Opens a socket to `path` on the server at `url`.
///
/// # Errors
/// [`ClientError::Address`], [`ClientError::Connect`], or what the server says against it.
pub(super) async fn open_socket(
    url: &str,
    path: &str,
    token: Option<&str>,
    options: Options,
) -> Result<Socket, ClientError> {
    let address = socket_address(url, path)?;
    let no_connection = |why: String| ClientError::Connect { server: url.to_owned(), why };
    let mut request =
        address.as_str().into_client_request().map_err(|error| ClientError::Address(format!("{url:?}: {error}")))?;
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ClientError::Token("the access token has characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(options.message_bytes))
        .max_frame_size(Some(options.message_bytes))
        // The library zeroes the whole of it before each read.
        .read_buffer_size(READ_BUFFER);
    let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    match timeout(options.connect_timeout, connecting).await {
        Err(_) => Err(no_connection("it took too long".to_owned())),
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(response))) => {
            let status = response.status().as_u16();
            Err(refusal(status, response.body().as_deref().unwrap_or_default()))
        }
        Ok(Err(error)) => Err(no_connection(error.to_string())),
    }
}

/// What the server says against the connection, from the answer to the upgrade.
fn refusal(status: u16, body: &[u8]) -> ClientError {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        error: Fault,
    }
    let wrapped = serde_json::from_slice::<Wrapped>(body).map(|wrapped| wrapped.error);
    match wrapped.or_else(|_| serde_json::from_slice::<Fault>(body)) {
        Ok(fault) => ClientError::Fault(fault),
        Err(_) => {
            let text: String = String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
            ClientError::Refused { status, text: if text.is_empty() { "no reason given".to_owned() } else { text } }
        }
    }
}
