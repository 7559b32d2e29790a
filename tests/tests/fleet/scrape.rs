//! Asking by HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pipewatch_tests::{Watcher, paced};

/// So long an answer may take.
pub const SOON: Duration = Duration::from_secs(10);

/// Where a pipewatch serves its metrics, as it says itself.
pub fn address(watcher: &Watcher) -> SocketAddr {
    let line = watcher.wait_for_complaint("metrics at", paced(SOON));
    let (_, rest) = line.split_once("http://").expect("an URL");
    let (address, _) = rest.split_once('/').expect("a path");
    address.parse().expect("an address")
}

/// A connection on which nothing takes longer than it may.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(paced(SOON));
    stream.set_read_timeout(patience).expect("a timeout");
    stream.set_write_timeout(patience).expect("a timeout");
    stream
}

/// The body of what is there; or what came instead.
pub fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    get_as(address, path, "application/openmetrics-text")
}

fn get_as(address: SocketAddr, path: &str, kind: &str) -> Result<String, String> {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let asked = stream
        .set_read_timeout(Some(paced(SOON)))
        .and_then(|()| write!(stream, "GET {path} HTTP/1.0\r\nAccept: {kind}\r\n\r\n"))
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.map_err(|error| format!("{error} after {answer:?}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 OK") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}

/// The metrics of a pipewatch, as OpenMetrics.
pub fn metrics(address: SocketAddr) -> String {
    get(address, "/metrics").expect("metrics")
}

/// The same in the format before that.
pub fn plain_metrics(address: SocketAddr) -> String {
    get_as(address, "/metrics", "text/plain").expect("metrics")
}

/// The value of a metric, by its name and labels.
pub fn value(metrics: &str, name: &str) -> f64 {
    let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    let value = metrics.lines().find_map(line);
    value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
}
