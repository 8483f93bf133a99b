//! Sends a request to a server that the operator names, and reads its answer, within limits.

use std::time::Duration;

use http::{HeaderValue, Uri, header};
use ureq::Agent;

use super::{
    fetch::{FetchError, Fetcher},
    redirect,
};
use crate::{lists::FeedUrl, quoted::quoted};

/// A request with a body.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Media type of the body.
    pub content_type: &'a str,
    /// Media type of the answer.
    pub accept: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl Fetcher {
    /// Sends a POST to `url`, and returns the body of the answer. The operator named the URL for
    /// this request alone, so its host may be inside. No redirect is followed: the body goes to
    /// the named server only.
    pub fn post(&self, url: &FeedUrl, post: Post<'_>) -> Result<Vec<u8>, FetchError> {
        self.post_by(&Agent::new_with_config(self.config()), url, post)
    }

    /// Sends a POST as [`Self::post`] does, and refuses a name that leads inside. An address in
    /// the URL may be inside.
    pub fn post_outside(&self, url: &FeedUrl, post: Post<'_>) -> Result<Vec<u8>, FetchError> {
        self.post_by(&self.agent(url), url, post)
    }

    fn post_by(&self, agent: &Agent, url: &FeedUrl, post: Post<'_>) -> Result<Vec<u8>, FetchError> {
        let uri = url.as_str().parse();
        let uri: Uri = uri.map_err(|_| FetchError::Url(quoted(&url.to_string())))?;
        let limit: Duration = self.limits.time;
        let mut request = agent
            .post(uri)
            .header(header::CONTENT_TYPE, post.content_type)
            .header(header::ACCEPT, post.accept);
        for (name, value) in post.headers {
            request = request.header(*name, *value);
        }
        let request = request.config().timeout_global(Some(limit)).build();
        let response = request
            .send(post.body)
            .map_err(|error| self.explain(error))?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(header::LOCATION);
            let to = redirect::resolve(url, location.map(HeaderValue::as_bytes))?;
            return Err(FetchError::NotFollowed {
                to: quoted(&to.to_string()),
            });
        }
        if !status.is_success() {
            return Err(FetchError::Status(status));
        }
        Ok(self.content(response)?.content)
    }
}
