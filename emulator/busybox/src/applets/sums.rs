//! Checksums and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use tokio::io::AsyncReadExt;

use super::show::all_of;
use crate::applet::{Applet, Ended, Stop};
use crate::reason::reason;
use crate::streams::CHUNK;

async fn digest<D: Digest>(input: &mut k3s_arc_container::Input) -> std::io::Result<String> {
    let mut digest = D::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = input.read(&mut buffer).await?;
        k3s_arc_container::breathe().await;
        if read == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(&buffer[..read]);
    }
}

async fn sum_of(applet: &Applet, path: &str) -> Result<String, Stop> {
    let Some(mut input) = applet.open_or_complain(path) else { return Err(Stop(1)) };
    let sum = match applet.known.name {
        "md5sum" => digest::<Md5>(&mut input).await,
        "sha1sum" => digest::<Sha1>(&mut input).await,
        "sha256sum" => digest::<Sha256>(&mut input).await,
        _ => digest::<Sha512>(&mut input).await,
    };
    sum.map_err(|error| applet.fail(format_args!("can't read '{path}': {}", reason(&error))))
}

/// `md5sum` and its kin.
pub(super) async fn sum(mut applet: Applet) -> Ended {
    let (options, mut paths) = applet.options("cswb", &[])?;
    if paths.is_empty() {
        paths.push("-".to_owned());
    }
    let mut status = 0;
    for path in &paths {
        if options.has('c') {
            status |= check(&mut applet, path, options.has('s')).await?;
            continue;
        }
        match sum_of(&applet, path).await {
            Ok(sum) => applet.line(format!("{sum}  {path}")).await?,
            Err(Stop(code)) => status = code,
        }
    }
    applet.end(status).await
}

async fn check(applet: &mut Applet, list: &str, quiet: bool) -> Result<i32, Stop> {
    let Some(mut input) = applet.open_or_complain(list) else { return Ok(1) };
    let content = all_of(applet, &mut input).await?;
    let (mut failed, mut count) = (0, 0);
    for line in String::from_utf8_lossy(&content).lines() {
        let Some((expected, path)) = line.split_once("  ") else { continue };
        count += 1;
        let same = sum_of(applet, path).await.is_ok_and(|sum| sum == expected);
        failed += i32::from(!same);
        if !quiet {
            applet.line(format!("{path}: {}", if same { "OK" } else { "FAILED" })).await?;
        }
    }
    if failed > 0 && !quiet {
        applet.complain(format_args!("WARNING: {failed} of {count} computed checksums did NOT match"));
    }
    Ok(i32::from(failed > 0 || count == 0))
}

pub(super) async fn base64(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("dw:", &[("decode", 'd')])?;
    let path = paths.first().cloned().unwrap_or_else(|| "-".to_owned());
    let mut input = applet.open(&path).map_err(|error| applet.fail(format_args!("{path}: {}", reason(&error))))?;
    let content = all_of(&applet, &mut input).await?;
    if options.has('d') {
        let text: Vec<u8> = content.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let decoded = STANDARD.decode(&text).map_err(|_| applet.fail("truncated input"))?;
        applet.put(decoded).await?;
        return applet.end(0).await;
    }
    let width = options.value('w').map_or(Ok(76), |text| applet.number::<usize>(text))?;
    let text = STANDARD.encode(content);
    if width == 0 {
        applet.put(&text).await?;
    } else {
        for line in text.as_bytes().chunks(width) {
            applet.put(line).await?;
            applet.put("\n").await?;
        }
    }
    applet.end(0).await
}
