//! Exchanges with one server over a connection that is kept, on a thread that has no runtime.

use std::io;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::Runtime;

use super::{Answer, Bounds, Client, HttpFault, Place, Step, address, handshake, of_hyper};

/// Longest life of a connection that is kept, seconds: after it the server proves anew who it is.
pub const KEPT_S_MAX: u64 = 300;

pub struct Session {
    client: Client,
    /// None once it is over.
    runtime: Option<Runtime>,
    kept: Option<Kept>,
}

struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Session {
    pub fn new(client: Client) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime: Some(runtime), kept: None })
    }

    /// Sends `request` to the one server that this session is with, and takes in the whole answer. One that is `repeatable`
    /// is sent again where a kept connection ends without an answer.
    pub fn exchange(
        &mut self,
        place: &Place,
        request: &Request<Full<Bytes>>,
        repeatable: bool,
        bounds: Bounds,
    ) -> Result<Answer, HttpFault> {
        let client = self.client.within(bounds);
        let young = |kept: &Kept| kept.since.elapsed() < Duration::from_secs(KEPT_S_MAX);
        let kept = self.kept.take().filter(young);
        let over = HttpFault::Connect { authority: place.authority(), found: "the session is over".to_owned() };
        let runtime = self.runtime.as_ref().ok_or(over)?;
        let (answer, kept) = runtime.block_on(async {
            let exchange = client.exchange_over(place, request, repeatable, kept);
            client.step(place, Step::Exchange, exchange).await?
        })?;
        self.kept = Some(kept).filter(|kept| !kept.sender.is_closed());
        Ok(answer)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not waited for: a look-up of a name may hang longer than any bound.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    async fn exchange_over(
        &self,
        place: &Place,
        request: &Request<Full<Bytes>>,
        repeatable: bool,
        kept: Option<Kept>,
    ) -> Result<(Answer, Kept), HttpFault> {
        let mut request = request.clone();
        address(place, &mut request)?;
        if let Some(mut kept) = kept {
            // Lets the connection see whether the server has closed it meanwhile.
            tokio::task::yield_now().await;
            match kept.sender.try_send_request(request.clone()).await {
                Ok(response) => return Ok((self.take_in(place, response, true).await?, kept)),
                Err(mut unsent) => {
                    let was_sent = unsent.take_message().is_none();
                    if was_sent && !repeatable {
                        return Err(of_hyper(place, unsent.error()));
                    }
                }
            }
        }
        let (mut sender, connection) = handshake(place, self.open(place).await?).await?;
        // Driven while exchanges are waited for; how it ends is of no interest.
        tokio::spawn(async {
            let _ = connection.await;
        });
        let response = sender.send_request(request).await.map_err(|error| of_hyper(place, &error))?;
        let answer = self.take_in(place, response, true).await?;
        Ok((answer, Kept { sender, since: Instant::now() }))
    }
}
