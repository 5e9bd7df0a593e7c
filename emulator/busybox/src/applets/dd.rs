//! `dd`.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Instant;

use k3s_arc_container::Output;
use k3s_arc_container::files::Open;
use tokio::io::AsyncReadExt;

use crate::applet::{Applet, Ended, Stop};
use crate::held::Held;
use crate::reason::reason;
use crate::view::Opened;

/// What is asked for.
struct Asked {
    input: String,
    output: Option<String>,
    block: usize,
    count: Option<u64>,
    skip: u64,
    seek: u64,
    quiet: bool,
    noerror: bool,
    notrunc: bool,
    fullblock: bool,
    append: bool,
}

/// Blocks, whole ones and others.
#[derive(Default)]
struct Records {
    whole: u64,
    part: u64,
}

enum To {
    Stream(Output),
    File(Arc<File>),
}

fn parse(applet: &Applet) -> Result<Asked, Stop> {
    let mut asked = Asked {
        input: "-".to_owned(),
        output: None,
        block: 512,
        count: None,
        skip: 0,
        seek: 0,
        quiet: false,
        noerror: false,
        notrunc: false,
        fullblock: false,
        append: false,
    };
    for arg in &applet.args {
        let Some((name, value)) = arg.split_once('=') else { return Err(applet.misused()) };
        match name {
            "if" => value.clone_into(&mut asked.input),
            "of" => asked.output = Some(value.to_owned()),
            "bs" | "ibs" | "obs" => asked.block = usize::try_from(applet.size(value)?).unwrap_or(usize::MAX),
            "count" => asked.count = Some(applet.size(value)?),
            "skip" => asked.skip = applet.size(value)?,
            "seek" => asked.seek = applet.size(value)?,
            "status" => asked.quiet = value == "none",
            "conv" | "iflag" | "oflag" => {
                for flag in value.split(',') {
                    match flag {
                        "notrunc" => asked.notrunc = true,
                        "noerror" => asked.noerror = true,
                        "fullblock" => asked.fullblock = true,
                        "append" => asked.append = true,
                        // What is written is on the disk, as far as this disk goes.
                        "fsync" | "sync" | "direct" | "dsync" => {}
                        _ => return Err(applet.fail(format_args!("invalid argument '{flag}' to '{name}'"))),
                    }
                }
            }
            _ => return Err(applet.misused()),
        }
    }
    if asked.block == 0 {
        return Err(applet.fail("number 0 is not in 1..9223372036854775807 range"));
    }
    Ok(asked)
}

pub(super) async fn dd(mut applet: Applet) -> Ended {
    let asked = parse(&applet)?;
    let began = Instant::now();
    // The block is memory that a container can run out of.
    let mut held = Held::new(&applet.view.container.memory);
    held.cover(asked.block).await.map_err(|_| applet.fail("out of memory"))?;
    let mut input = applet
        .open(&asked.input)
        .map_err(|error| applet.fail(format_args!("can't open '{}': {}", asked.input, reason(&error))))?;
    let to = open_output(&applet, &asked)?;
    let mut buffer = vec![0; asked.block];
    for _ in 0..asked.skip {
        if fill(&mut input, &mut buffer, true).await.map_err(|error| applet.fail(reason(&error)))? == 0 {
            break;
        }
    }
    let (mut read, mut written, mut bytes) = (Records::default(), Records::default(), 0_u64);
    let mut failed = false;
    while asked.count.is_none_or(|count| read.whole + read.part < count) {
        let length = match fill(&mut input, &mut buffer, asked.fullblock).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(_) if asked.noerror => break,
            Err(error) => {
                applet.complain(format_args!("{}: {}", asked.input, reason(&error)));
                failed = true;
                break;
            }
        };
        let count = |records: &mut Records| if length == asked.block { records.whole += 1 } else { records.part += 1 };
        count(&mut read);
        let put = match &to {
            To::Stream(output) => output.put(&buffer[..length]).await,
            To::File(file) => (&**file).write_all(&buffer[..length]),
        };
        match put {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Stop(128 + 13)),
            Err(error) => {
                applet.complain(format_args!(
                    "error writing '{}': {}",
                    asked.output.as_deref().unwrap_or("standard output"),
                    reason(&error)
                ));
                failed = true;
                break;
            }
        }
        count(&mut written);
        bytes += length as u64;
        k3s_arc_container::breathe().await;
    }
    if !asked.quiet {
        tell(&applet, &read, &written, bytes, began.elapsed().as_secs_f64());
    }
    applet.end(i32::from(failed)).await
}

fn open_output(applet: &Applet, asked: &Asked) -> Result<To, Stop> {
    let Some(path) = &asked.output else { return Ok(To::Stream(applet.stdout.clone())) };
    let how = Open { truncate: !asked.notrunc && asked.seek == 0 && !asked.append, append: asked.append, ..Open::CREATE };
    let opened =
        applet.view.open(path, how).map_err(|error| applet.fail(format_args!("can't open '{path}': {}", reason(&error))))?;
    match opened {
        Opened::File(file) => {
            if asked.seek > 0 {
                let at = asked.seek.saturating_mul(asked.block as u64);
                let cut = if asked.notrunc { Ok(()) } else { file.set_len(at) };
                cut.and_then(|()| (&*file).seek(SeekFrom::Start(at)))
                    .map_err(|error| applet.fail(format_args!("can't seek '{path}': {}", reason(&error))))?;
            }
            Ok(To::File(file))
        }
        Opened::Output(output) => Ok(To::Stream(output)),
        Opened::Own(2) => Ok(To::Stream(applet.stderr.clone())),
        Opened::Own(_) | Opened::Input(_) => Ok(To::Stream(applet.stdout.clone())),
    }
}

/// Reads once, or until the block is full.
async fn fill(input: &mut k3s_arc_container::Input, buffer: &mut [u8], full: bool) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let read = input.read(&mut buffer[length..]).await?;
        length += read;
        if read == 0 || !full || length == buffer.len() {
            return Ok(length);
        }
    }
}

fn tell(applet: &Applet, read: &Records, written: &Records, bytes: u64, seconds: f64) {
    let speed = human(if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 });
    let text = format!(
        "{}+{} records in\n{}+{} records out\n{bytes} bytes ({}) copied, {seconds:.6} seconds, {speed}/s\n",
        read.whole,
        read.part,
        written.whole,
        written.part,
        human(bytes as f64),
    );
    // There is nowhere left to complain about it.
    let _ = applet.stderr.clone().write_all(text.as_bytes());
}

/// A number of bytes for people: `1.0MB`.
fn human(bytes: f64) -> String {
    let mut value = bytes;
    let mut units = "BKMGT".chars();
    let mut unit = units.next().unwrap_or('B');
    while value >= 1024.0
        && let Some(next) = units.next()
    {
        value /= 1024.0;
        unit = next;
    }
    if unit == 'B' { format!("{value:.0}B") } else { format!("{value:.1}{unit}B") }
}
