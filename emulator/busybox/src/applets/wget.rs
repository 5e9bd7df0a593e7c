//! `wget`, of HTTP.

use std::io::{self, Write};
use std::time::Duration;

use k3s_arc_container::files::Open;
use k3s_arc_container::{Output, Resolver};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::applet::{Applet, Ended, Options, Stop};
use crate::reason::reason;
use crate::streams::CHUNK;

/// Redirections that are followed.
const MOST_REDIRECTIONS: u32 = 15;
/// How long a header may be.
const LONGEST_LINE: u64 = 64 * 1024;
/// How long a server may say nothing, unless `-T` says else.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where a URL leads.
struct Target {
    /// As the server is told it.
    host: String,
    name: String,
    port: u16,
    path: String,
}

fn parse(applet: &Applet, url: &str) -> Result<Target, Stop> {
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https" | "ftp", _)) => return Err(applet.fail(format_args!("{url}: only http is emulated"))),
        Some(_) => return Err(applet.fail(format_args!("not an http or ftp url: {url}"))),
        None => url,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or(host);
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            (name, port.parse().map_err(|_| applet.fail(format_args!("invalid number '{port}'")))?)
        }
        _ => (host, 80),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(Target { host: host.to_owned(), name: name.to_owned(), port, path })
}

/// What a server said before the content.
struct Head {
    status: u32,
    line: String,
    length: Option<u64>,
    chunked: bool,
    location: Option<String>,
}

/// Something that went wrong on the way.
enum Fault {
    Timeout,
    Said(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Said(format!("error getting response: {}", reason(&error)))
    }
}

/// A download.
struct Download<'a> {
    applet: &'a Applet,
    options: &'a Options,
    patience: Duration,
}

pub(super) async fn wget(applet: Applet) -> Ended {
    let long =
        [("spider", '1'), ("header", '2'), ("post-data", '3'), ("post-file", '4'), ("no-check-certificate", '5'), ("quiet", 'q')];
    let (options, urls) =
        applet.options("cqSO:o:P:T:U:Y:t:n:12:3:4:5", &[&long[..], &[("output-document", 'O'), ("timeout", 'T')]].concat())?;
    if urls.is_empty() {
        return Err(applet.misused());
    }
    let patience = match options.value('T') {
        Some(text) => Duration::from_secs(u64::from(applet.number::<u32>(text)?)),
        None => PATIENCE,
    };
    let download = Download { applet: &applet, options: &options, patience };
    for url in &urls {
        match download.get(url).await {
            Ok(()) => {}
            Err(Fault::Timeout) => return Err(applet.fail("download timed out")),
            Err(Fault::Said(what)) if what.is_empty() => return Ok(1),
            Err(Fault::Said(what)) => return Err(applet.fail(what)),
        }
    }
    Ok(0)
}

impl Download<'_> {
    fn say(&self, text: &str) {
        if !self.options.has('q') {
            // There is nowhere left to complain about it.
            let _ = self.applet.stderr.clone().write_all(text.as_bytes());
        }
    }

    async fn get(&self, url: &str) -> Result<(), Fault> {
        let said = |_: Stop| Fault::Said(String::new());
        let mut target = parse(self.applet, url).map_err(said)?;
        let file = self.file(&target);
        for _ in 0..=MOST_REDIRECTIONS {
            let mut stream = timeout(self.patience, self.connect(&target)).await.map_err(|_| Fault::Timeout)??;
            let head = timeout(self.patience, self.ask(&mut stream, &target)).await.map_err(|_| Fault::Timeout)??;
            match head.location {
                Some(location) if head.status >= 300 => {
                    if location.starts_with('/') {
                        target.path = location;
                    } else {
                        target = parse(self.applet, &location).map_err(said)?;
                    }
                }
                _ if self.options.has('1') => {
                    self.say("remote file exists\n");
                    return Ok(());
                }
                _ => return self.save(stream, &head, &file).await,
            }
        }
        Err(Fault::Said("too many redirections".to_owned()))
    }

    /// What it is saved as.
    fn file(&self, target: &Target) -> String {
        if let Some(name) = self.options.value('O') {
            return name.to_owned();
        }
        let last = target.path.split('?').next().and_then(|path| path.rsplit('/').next()).filter(|last| !last.is_empty());
        let last = last.unwrap_or("index.html");
        self.options.value('P').map_or(last.to_owned(), |directory| format!("{directory}/{last}"))
    }

    async fn connect(&self, target: &Target) -> Result<BufReader<TcpStream>, Fault> {
        let container = &self.applet.view.container;
        let resolver = Resolver::of(container);
        let address = self.applet.resolve(&resolver, &target.name, target.port).await.map_err(|_| Fault::Said(String::new()))?;
        self.say(&format!("Connecting to {} ({address})\n", target.host));
        match container.net.connect(address).await {
            Ok(stream) => Ok(BufReader::new(stream)),
            Err(error) => Err(Fault::Said(format!("can't connect to remote host ({}): {}", address.ip(), reason(&error)))),
        }
    }

    async fn ask(&self, stream: &mut BufReader<TcpStream>, target: &Target) -> Result<Head, Fault> {
        let post = match (self.options.value('3'), self.options.value('4')) {
            (Some(data), _) => Some(data.as_bytes().to_vec()),
            (None, Some(path)) => {
                let view = &self.applet.view;
                let content = view.files().read(view.path(path));
                Some(content.map_err(|error| Fault::Said(format!("can't open '{path}': {}", reason(&error))))?)
            }
            (None, None) => None,
        };
        let mut request = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nConnection: close\r\n",
            if post.is_some() { "POST" } else { "GET" },
            target.path,
            target.host,
            self.options.value('U').unwrap_or("Wget"),
        );
        for header in self.options.values('2') {
            request += &format!("{header}\r\n");
        }
        if let Some(data) = &post {
            request += &format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", data.len());
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(&post.unwrap_or_default()).await?;
        loop {
            let head = self.head(stream).await?;
            match head.status {
                // More is to come.
                0 | 100 => {}
                200..=204 | 300..=303 | 307 | 308 => return Ok(head),
                _ => return Err(Fault::Said(format!("server returned error: {}", head.line))),
            }
        }
    }

    async fn head(&self, stream: &mut BufReader<TcpStream>) -> Result<Head, Fault> {
        let line = self.header(stream).await?;
        let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut head = Head { status, line, length: None, chunked: false, location: None };
        if !matches!(status, 0..=204 | 300..=399) {
            return Ok(head);
        }
        loop {
            let line = self.header(stream).await?;
            if line.is_empty() {
                return Ok(head);
            }
            let Some((name, value)) = line.split_once(':') else { return Err(Fault::Said(format!("bad header line: {line}"))) };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    head.length = Some(value.parse().map_err(|_| Fault::Said(format!("content-length {value} is garbage")))?);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => head.chunked = true,
                "transfer-encoding" => return Err(Fault::Said(format!("transfer encoding '{value}' is not supported"))),
                "location" => head.location = Some(value.to_owned()),
                _ => {}
            }
        }
    }

    /// A line of the head, told with `-S`.
    async fn header(&self, stream: &mut BufReader<TcpStream>) -> Result<String, Fault> {
        let mut line = Vec::new();
        if (&mut *stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
            return Err(Fault::Said("error getting response".to_owned()));
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if self.options.has('S') {
            let _ = self.applet.stderr.clone().write_all(format!("  {line}\n").as_bytes());
        }
        Ok(line)
    }

    async fn save(&self, mut stream: BufReader<TcpStream>, head: &Head, file: &str) -> Result<(), Fault> {
        let to_stdout = file == "-";
        let output = if to_stdout {
            self.applet.stdout.clone()
        } else {
            let named = self.options.value('O').is_some();
            let how = if named { Open::CREATE } else { Open { create_new: true, write: true, ..Open::default() } };
            self.applet.create(file, how).map_err(|error| Fault::Said(format!("can't open '{file}': {}", reason(&error))))?
        };
        self.say(&if to_stdout { "writing to stdout\n".to_owned() } else { format!("saving to '{file}'\n") });
        let length = if head.status == 204 { Some(0) } else { head.length };
        let bytes =
            if head.chunked { self.chunks(&mut stream, &output).await? } else { self.rest(&mut stream, length, &output).await? };
        self.say(&format!("{file:<20} 100% |********************************| {bytes:5}  0:00:00 ETA\n"));
        self.say(&if to_stdout { "written to stdout\n".to_owned() } else { format!("'{file}' saved\n") });
        Ok(())
    }

    /// Passes on so many bytes, or all that come.
    async fn rest(&self, stream: &mut BufReader<TcpStream>, length: Option<u64>, output: &Output) -> Result<u64, Fault> {
        let mut left = length.unwrap_or(u64::MAX);
        let mut bytes = 0;
        let mut buffer = vec![0; CHUNK];
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = timeout(self.patience, stream.read(&mut buffer[..most])).await.map_err(|_| Fault::Timeout)??;
            if read == 0 {
                break;
            }
            output.put(&buffer[..read]).await.map_err(|error| Fault::Said(format!("write error: {}", reason(&error))))?;
            left -= read as u64;
            bytes += read as u64;
        }
        if length.is_some() && left > 0 {
            return Err(Fault::Said("connection closed prematurely".to_owned()));
        }
        Ok(bytes)
    }

    async fn chunks(&self, stream: &mut BufReader<TcpStream>, output: &Output) -> Result<u64, Fault> {
        let mut bytes = 0;
        loop {
            let mut line = String::new();
            timeout(self.patience, (&mut *stream).take(LONGEST_LINE).read_line(&mut line))
                .await
                .map_err(|_| Fault::Timeout)??;
            let digits = line.trim().split(';').next().unwrap_or_default();
            let length = u64::from_str_radix(digits, 16).map_err(|_| Fault::Said(format!("bad chunk length '{digits}'")))?;
            if length == 0 {
                return Ok(bytes);
            }
            bytes += self.rest(stream, Some(length), output).await?;
            let mut end = [0; 2];
            timeout(self.patience, stream.read_exact(&mut end)).await.map_err(|_| Fault::Timeout)??;
        }
    }
}
