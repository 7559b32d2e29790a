//! `GET /metrics` by HTTP/1.1. Whoever asks may be slow, many or hostile: there is a
//! limit to how many are heard at once, how much each may say, and how long it takes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::ready,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};
use tokio::{
    runtime,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::Metrics;
use crate::problem::Problem;

/// So many connections are open at once. One more closes the oldest: who asks properly
/// is answered at once, who holds connections open loses them.
const CONNECTIONS: usize = 128;
/// A connection lasts no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much of a request's head is read, in bytes (the least that hyper allows).
const HEAD: usize = 8192;
/// So many header fields may be in it.
const FIELDS: usize = 64;
/// When it is tried again if no connection can be taken, for want of descriptors.
const RETRY: Duration = Duration::from_millis(100);

const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An address, or a port of this host alone.
///
/// # Errors
///
/// It is neither.
pub fn address(text: &str) -> Result<SocketAddr, Problem> {
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = text.parse().or_else(|_| text.parse::<u16>().map(here));
    address.map_err(|_| {
        Problem::new(
            "it is no port, nor an address with a port",
            "write it like 9750, 127.0.0.1:9750 or [::1]:9750",
        )
    })
}

/// Where metrics are asked for. Until they are served, who asks waits.
#[derive(Debug)]
pub struct Door(TcpListener);

impl Door {
    /// Opens it. Port 0 stands for any that is free.
    ///
    /// # Errors
    ///
    /// The address is in use, or is none of this host's.
    pub fn open(address: SocketAddr) -> Result<Self, Problem> {
        let bound = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        bound.map(Self).map_err(|error| {
            Problem::new(
                format!("cannot serve metrics at {address}: {error}"),
                "name a port that is free (`ss -ltnp` lists those in use), and an address of this \
                 host",
            )
        })
    }

    /// Where that is.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers all who ask, until the process ends; blocks.
    ///
    /// # Errors
    ///
    /// Nobody can be answered here.
    pub fn serve(self, metrics: &Metrics, version: &str, backend: &str) -> io::Result<Infallible> {
        let registry = Arc::new(metrics.registry(version, backend));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.0)?;
            let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(RETRY).await;
                    continue;
                };
                open.retain(|connection| !connection.is_finished());
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let registry = Arc::clone(&registry);
                let answer = service_fn(move |request: Request<_>| {
                    ready(Ok::<_, Infallible>(answer(&request, &registry)))
                });
                let connection = http1::Builder::new()
                    .keep_alive(false)
                    .max_buf_size(HEAD)
                    .max_headers(FIELDS)
                    .serve_connection(TokioIo::new(stream), answer);
                open.push_back(tokio::spawn(async {
                    // Who breaks off is not waited for.
                    let _ = timeout(PATIENCE, connection).await;
                }));
            }
        })
    }
}

fn answer<B>(request: &Request<B>, registry: &Registry) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(ALLOW, allowed);
        return refusal;
    }
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    let accepts = request.headers().get_all(ACCEPT).into_iter();
    let open_metrics = accepts
        .filter_map(|accept| accept.to_str().ok())
        .any(|accept| accept.contains(OPEN_METRICS));
    let mut body = String::new();
    let (kind, written) = if open_metrics {
        (OPEN_METRICS_1, text::encode(&mut body, registry))
    } else {
        let written = prometheus_text::encode(&mut body, registry);
        (prometheus_text::CONTENT_TYPE, written)
    };
    if written.is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n");
    }
    let mut response = Response::new(Full::from(body));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ktime;

    #[test]
    fn a_bare_port_is_of_this_host_alone() {
        let of = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(of("9750").as_deref(), Ok("127.0.0.1:9750"));
        assert_eq!(of("0.0.0.0:1").as_deref(), Ok("0.0.0.0:1"));
        assert_eq!(of("[::]:9750").as_deref(), Ok("[::]:9750"));
        for bad in ["", ":9750", "localhost:9750", "65536", "127.0.0.1", "-1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_request_has_its_answer() {
        let metrics = Metrics::new(|| Ktime(0));
        let registry = metrics.registry("1", "procfs");
        let ask = |method, path, accept| {
            let request = Request::builder().method(method).uri(path);
            let request = request.header(ACCEPT, accept).body(()).expect("a request");
            let response = answer(&request, &registry);
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
            (response.status().as_u16(), kind)
        };
        let open = Some(OPEN_METRICS_1.to_owned());
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1";
        assert_eq!(ask("GET", "/metrics", prometheus), (200, open));
        let plain = Some(prometheus_text::CONTENT_TYPE.to_owned());
        assert_eq!(ask("GET", "/metrics?x=y", "*/*"), (200, plain.clone()));
        assert_eq!(ask("HEAD", "/metrics", ""), (200, plain));
        assert_eq!(ask("GET", "/", ""), (404, None));
        assert_eq!(ask("POST", "/metrics", ""), (405, None));
    }
}
