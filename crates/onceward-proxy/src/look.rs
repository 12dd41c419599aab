//! Sends the looks of resolvers over the proxy's own connections: the same trust, the same limits, the same targets that are not dialled (D2).

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use onceward_resolve::{ANSWER_BYTES_MAX, Fetch, FetchFuture, Fetched, NotFetched, Place};

use crate::{
    pass_through::with_causes,
    upstream::{Upstream, UpstreamBody},
};

/// Looks as the forward proxy sends them: to whatever site the recipe names.
#[derive(Clone)]
pub struct SiteFetch(Upstream);

impl fmt::Debug for SiteFetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteFetch")
    }
}

impl SiteFetch {
    /// Over these connections.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self(upstream)
    }
}

impl Fetch for SiteFetch {
    fn fetch(&self, request: Request<Vec<u8>>, _: Place) -> FetchFuture<'_> {
        Box::pin(async { whole(self.0.forward(whole_body(request)).await).await })
    }
}

pub(crate) fn whole_body(request: Request<Vec<u8>>) -> Request<Full<Bytes>> {
    request.map(|body| Full::new(Bytes::from(body)))
}

/// Reads an answer to its end.
pub(crate) async fn whole<E: std::error::Error>(
    answered: Result<Response<UpstreamBody>, E>,
) -> Result<Fetched, NotFetched> {
    let response = answered.map_err(|error| NotFetched(format!("no answer: {}", with_causes(&error))))?;
    let (parts, mut frames) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = frames.frame().await {
        let frame =
            frame.map_err(|error| NotFetched(format!("the answer was cut: {}", with_causes(&error))))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(NotFetched("the answer is too long".to_owned()));
        }
        body.extend_from_slice(&data);
    }
    Ok(Fetched { parts, body })
}
