//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS, just enough for probes: every call on a
//! connection gets the same answer, so request headers need no decoding (the service name stands
//! readable in the message).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::web::listen;
use crate::{Args, Outcome, sys};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The size that peers may send before settings say otherwise (RFC 9113, 6.5.2).
const FRAME_BYTES_MAX: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status 200` from the static table, then `content-type: application/grpc` as a literal (RFC
/// 7541, 6.2.2).
const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
const TRAILER_OK: &[u8] = b"\x00\x0bgrpc-status\x010";
/// NOT_FOUND: the protocol's answer for a service that is not registered.
const TRAILER_NOT_FOUND: &[u8] = b"\x00\x0bgrpc-status\x015";
/// A gRPC message (no compression, two bytes) with `status: SERVING` or `NOT_SERVING`.
const SERVING: &[u8] = b"\x00\x00\x00\x00\x02\x08\x01";
const NOT_SERVING: &[u8] = b"\x00\x00\x00\x00\x02\x08\x02";

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

pub(crate) fn serve(args: &Args) -> Outcome {
    sys::exit_on_term();
    let listener = listen(args.get_or("addr", "0.0.0.0"), args.number("port", 50051)?)?;
    println!("listening on {}", listener.local_addr().map_err(|e| e.to_string())?);
    let service = args.get_or("service", "").to_owned();
    let file = args.get("health-file").map(str::to_owned);
    for stream in listener.incoming().flatten() {
        let (service, file) = (service.clone(), file.clone());
        thread::spawn(move || {
            let healthy = move || file.as_ref().is_none_or(|f| Path::new(f).exists());
            // A peer that breaks the protocol or the connection harms only itself.
            let _ = connection(stream, &service, &healthy);
        });
    }
    Ok(0)
}

fn connection(mut stream: TcpStream, service: &str, healthy: &dyn Fn() -> bool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut preface = [0u8; PREFACE.len()];
    stream.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Err(io::Error::other("not HTTP/2"));
    }
    send(&mut stream, SETTINGS, 0, 0, &[])?;
    loop {
        let frame = read_frame(&mut stream)?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => send(&mut stream, SETTINGS, ACK, 0, &[])?,
            PING if frame.flags & ACK == 0 => send(&mut stream, PING, ACK, 0, &frame.payload)?,
            DATA if frame.flags & END_STREAM != 0 => answer(&mut stream, &frame, service, healthy())?,
            GOAWAY => return Ok(()),
            _ => {}
        }
    }
}

fn answer(stream: &mut TcpStream, frame: &Frame, service: &str, healthy: bool) -> io::Result<()> {
    if asked_service(&frame.payload).is_some_and(|asked| asked != service.as_bytes()) {
        let both = [HEAD, TRAILER_NOT_FOUND].concat();
        return send(stream, HEADERS, END_HEADERS | END_STREAM, frame.stream, &both);
    }
    send(stream, HEADERS, END_HEADERS, frame.stream, HEAD)?;
    send(stream, DATA, 0, frame.stream, if healthy { SERVING } else { NOT_SERVING })?;
    send(stream, HEADERS, END_HEADERS | END_STREAM, frame.stream, TRAILER_OK)
}

/// The service of a `HealthCheckRequest`: five bytes of gRPC, then field 1 with its length; none
/// when empty.
fn asked_service(message: &[u8]) -> Option<&[u8]> {
    let request = message.get(5..)?;
    let (&[tag, length], name) = request.split_first_chunk::<2>()?;
    (tag == 0x0a).then(|| name.get(..usize::from(length)))?
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut head = [0u8; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("frame too large"));
    }
    let mut payload = vec![0u8; length];
    stream.read_exact(&mut payload)?;
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Ok(Frame { kind: head[3], flags: head[4], stream, payload })
}

fn send(to: &mut TcpStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    to.write_all(&frame)
}

#[cfg(test)]
mod tests {
    use super::asked_service;

    #[test]
    fn the_service_is_read_from_the_request() {
        assert_eq!(asked_service(b"\0\0\0\0\0"), None);
        assert_eq!(asked_service(b"\0\0\0\0\x05\x0a\x03log"), Some(b"log".as_slice()));
        assert_eq!(asked_service(b"\0\0\0\0\x05\x0a\x7flog"), None);
    }
}
