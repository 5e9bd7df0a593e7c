//! `httpd`: files over HTTP.

use std::sync::Arc;

use k3s_arc_container::Signals;
use k3s_arc_container::files::Kind;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::applet::{Applet, Ended};
use crate::reason::reason;
use crate::view::{View, normal};

/// What a request's head may be long.
const LONGEST_HEAD: u64 = 64 * 1024;

pub(super) async fn httpd(applet: Applet) -> Ended {
    let (options, _) = applet.options("ifvc:p:h:u:r:m:d:e:", &[])?;
    if let Some(text) = options.value('d') {
        let text = String::from_utf8_lossy(&decode(text)).into_owned();
        let mut applet = applet;
        applet.put(text).await?;
        return applet.end(0).await;
    }
    let port = options.value('p').unwrap_or("80");
    let port: u16 = applet.number(port.rsplit(':').next().unwrap_or(port))?;
    let home = applet.view.path(options.value('h').unwrap_or("."));
    if !applet.view.metadata(&home, true).is_ok_and(|found| found.kind == Kind::Directory) {
        return Err(applet.fail(format_args!("can't change directory to '{}': No such file or directory", home.display())));
    }
    let listener =
        applet.view.container.net.listen(port).await.map_err(|error| applet.fail(format_args!("bind: {}", reason(&error))))?;
    let view = Arc::new(View { cwd: home, ..applet.view.clone() });
    if options.has('f') {
        return serve(view, listener).await;
    }
    // It goes on in the background, as a process of its own.
    let process = k3s_arc_container::Process {
        args: std::iter::once("httpd".to_owned()).chain(applet.args.iter().cloned()).collect(),
        env: applet.env.clone(),
        cwd: view.cwd.clone(),
        stdin: k3s_arc_container::Input::empty(),
        stdout: k3s_arc_container::Output::null(),
        stderr: k3s_arc_container::Output::null(),
        signals: Signals::by_hand().1,
        container: view.container.clone(),
    };
    let processes = view.container.processes.clone();
    let entry = processes.enter(1, &process);
    let pid = entry.pid();
    let task = tokio::spawn(entry.run(async move { serve(view, listener).await.unwrap_or(1) }));
    processes.set_task(pid, task.abort_handle());
    Ok(0)
}

async fn serve(view: Arc<View>, listener: TcpListener) -> Ended {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let view = view.clone();
                    connections.spawn(async move { drop(answer(&view, stream).await) });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Percent escapes to bytes.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

async fn answer(view: &View, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    (&mut stream).take(LONGEST_HEAD).read_line(&mut request).await?;
    loop {
        let mut line = Vec::new();
        (&mut stream).take(LONGEST_HEAD).read_until(b'\n', &mut line).await?;
        if matches!(line.as_slice(), b"" | b"\r\n" | b"\n") {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = String::from_utf8_lossy(&decode(url.split('?').next().unwrap_or_default())).into_owned();
    let (head, body) = match method {
        _ if !path.starts_with('/') => error(400, "Bad Request", "Unsupported method"),
        "GET" | "HEAD" => found(view, &path),
        _ => error(501, "Not Implemented", "The requested method is not recognized"),
    };
    stream.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(&body).await?;
    }
    stream.shutdown().await
}

fn head(status: u16, name: &str, headers: &str) -> String {
    let date = super::date::http(jiff::Timestamp::now().as_second());
    format!("HTTP/1.1 {status} {name}\r\nDate: {date}\r\nConnection: close\r\n{headers}\r\n")
}

fn error(status: u16, name: &str, what: &str) -> (String, Vec<u8>) {
    let body =
        format!("<HTML><HEAD><TITLE>{status} {name}</TITLE></HEAD>\n<BODY><H1>{status} {name}</H1>\n{what}\n</BODY></HTML>\n");
    (head(status, name, "Content-type: text/html\r\n"), body.into_bytes())
}

fn found(view: &View, path: &str) -> (String, Vec<u8>) {
    let not_found = || error(404, "Not Found", "The requested URL was not found");
    // What is above the root of the pages is not among them.
    let mut at = view.cwd.join(normal(path.as_ref()).strip_prefix("/").unwrap_or("".as_ref()));
    if view.metadata(&at, true).is_ok_and(|found| found.kind == Kind::Directory) {
        if !path.ends_with('/') {
            return (head(302, "Found", &format!("Content-type: text/html\r\nLocation: {path}/\r\n")), Vec::new());
        }
        at.push("index.html");
    }
    let (Ok(content), Ok(metadata)) = (view.files().read(&at), view.metadata(&at, true)) else { return not_found() };
    let headers = format!(
        "Content-type: {}\r\nAccept-Ranges: bytes\r\nLast-Modified: {}\r\nETag: \"{:x}-{:x}\"\r\nContent-Length: {}\r\n",
        content_type(&at.to_string_lossy()),
        super::date::http(metadata.modified),
        metadata.modified,
        content.len(),
        content.len(),
    );
    (head(200, "OK", &headers), content)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html" | "htm") => "text/html",
        Some("txt" | "h" | "c" | "cc" | "cpp") => "text/plain",
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_are_bytes() {
        assert_eq!(decode("/a%20b%2"), b"/a b%2");
        assert_eq!(decode("%zz\u{e9}"), "%zz\u{e9}".as_bytes());
    }
}
