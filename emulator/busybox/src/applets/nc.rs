//! `nc` of TCP, and `ping`, which is refused.

use std::io::Write;
use std::time::Duration;

use k3s_arc_container::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::applet::{Applet, Ended, Options, Stop};
use crate::reason::reason;
use crate::streams::CHUNK;

pub(super) async fn nc(applet: Applet) -> Ended {
    let (options, words) = applet.options("lkp:w:zvni:q:s:ue:o:", &[])?;
    if let Some(letter) = options.iter().find(|letter| "ueo".contains(*letter)) {
        return Err(applet.fail(format_args!("-{letter} is not emulated")));
    }
    if options.has('l') {
        return listen(&applet, &options, &words).await;
    }
    let [host, port] = words.as_slice() else { return Err(applet.misused()) };
    let port: u16 = applet.number(port)?;
    let address = applet.resolve(&Resolver::of(&applet.view.container), host, port).await?;
    let connecting = applet.view.container.net.connect(address);
    let verbose = options.iter().filter(|letter| *letter == 'v').count();
    let say = |text: String| drop(applet.stderr.clone().write_all(text.as_bytes()));
    let connected = match patience(&applet, &options)? {
        Some(patience) => timeout(patience, connecting).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
        None => connecting.await,
    };
    match connected {
        Ok(stream) => {
            if verbose > 0 {
                say(format!("{host} ({address}) open\n"));
            }
            if !options.has('z') {
                exchange(&applet, stream, patience(&applet, &options)?).await?;
            }
            if verbose > 1 {
                say("sent 0, rcvd 0\n".to_owned());
            }
            Ok(0)
        }
        Err(error) => {
            // One `-v` does not tell of those who refuse.
            if verbose > 1 || (verbose == 1 && error.kind() != std::io::ErrorKind::ConnectionRefused) {
                applet.complain(format_args!("{host} ({address}): {}", reason(&error)));
            }
            if verbose > 1 {
                say("sent 0, rcvd 0\n".to_owned());
            }
            Ok(1)
        }
    }
}

fn patience(applet: &Applet, options: &Options) -> Result<Option<Duration>, Stop> {
    options.value('w').map(|text| Ok(Duration::from_secs(u64::from(applet.number::<u32>(text)?)))).transpose()
}

async fn listen(applet: &Applet, options: &Options, words: &[String]) -> Ended {
    let port = options.value('p').or(words.last().map(String::as_str)).ok_or_else(|| applet.misused())?;
    let port: u16 = applet.number(port)?;
    let listener =
        applet.view.container.net.listen(port).await.map_err(|error| applet.fail(format_args!("bind: {}", reason(&error))))?;
    if options.has('v') {
        let _ = applet.stderr.clone().write_all(format!("listening on [::]:{port} ...\n").as_bytes());
    }
    loop {
        let accepted = listener.accept();
        let accepted = match patience(applet, options)? {
            Some(patience) => timeout(patience, accepted).await.map_err(|_| applet.fail("timeout"))?,
            None => accepted.await,
        };
        let (stream, _) = accepted.map_err(|error| applet.fail(format_args!("accept: {}", reason(&error))))?;
        exchange(applet, stream, None).await?;
        if !options.has('k') {
            return Ok(0);
        }
    }
}

/// Sends what is read and prints what is received, until the other side has closed.
async fn exchange(applet: &Applet, stream: TcpStream, patience: Option<Duration>) -> Result<(), Stop> {
    let (mut from, mut to) = stream.into_split();
    let sending = async {
        let mut input = applet.stdin.input();
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = input.read(&mut buffer).await {
            if to.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        // The other side is told that there is no more.
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let mut buffer = vec![0; CHUNK];
        loop {
            let reading = from.read(&mut buffer);
            let read = match patience {
                Some(patience) => timeout(patience, reading).await.unwrap_or(Ok(0)),
                None => reading.await,
            };
            let read = read.unwrap_or(0);
            if read == 0 {
                return Ok(());
            }
            applet.stdout.put(&buffer[..read]).await.map_err(|_| Stop(128 + 13))?;
        }
    };
    tokio::select! {
        () = sending => Ok(()),
        received = receiving => received,
    }
}

pub(super) async fn ping(applet: Applet) -> Ended {
    Err(applet.fail("ICMP is not emulated: containers reach each other by TCP and UDP here"))
}
