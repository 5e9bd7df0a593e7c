//! Redirections.

use k3s_arc_container::Input;
use k3s_arc_container::files::{Kind, Open};

use super::ast::{Redirect, RedirectKind, Word};
use super::{Fd, Leave, Shell};
use crate::reason::reason;
use crate::streams::{Source, file_output};
use crate::view::Opened;

/// What open files were before, to be put back.
pub(super) type Saved = Vec<(u32, Option<Fd>)>;

/// Opened for both.
const READ_WRITE: Open = Open { read: true, write: true, append: false, truncate: false, create: true, create_new: false };

impl Shell {
    /// Does what redirections say; what was there before goes to `saved`, even where something is wrong.
    pub(super) async fn redirect(&mut self, redirects: &[Redirect], saved: &mut Saved) -> Result<(), Leave> {
        for redirect in redirects {
            let fd = redirect.fd.unwrap_or(1);
            match &redirect.kind {
                RedirectKind::Both(file) => {
                    let opened = self.create(file, false).await?;
                    self.replace(1, Some(opened.clone()), saved);
                    self.replace(2, Some(opened), saved);
                }
                RedirectKind::Duplicate(word) => {
                    let text = self.single(word).await?;
                    let new = match text.parse::<u32>() {
                        _ if text == "-" => None,
                        Ok(from) if self.fds.contains_key(&from) => self.fds.get(&from).cloned(),
                        Ok(from) => {
                            self.complain(format!("{from}: Bad file descriptor")).await;
                            return Err(Leave::Error(1));
                        }
                        Err(_) => return Err(self.fail("syntax error: bad fd number").await),
                    };
                    self.replace(fd, new, saved);
                }
                kind => {
                    let opened = self.opened(kind).await?;
                    self.replace(fd, Some(opened), saved);
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, fd: u32, new: Option<Fd>, saved: &mut Saved) {
        let old = match new {
            Some(new) => self.fds.insert(fd, new),
            None => self.fds.remove(&fd),
        };
        saved.push((fd, old));
    }

    /// Puts back what was there before.
    pub(super) fn restore(&mut self, saved: Saved) {
        for (fd, old) in saved.into_iter().rev() {
            match old {
                Some(old) => self.fds.insert(fd, old),
                None => self.fds.remove(&fd),
            };
        }
    }

    async fn opened(&mut self, kind: &RedirectKind) -> Result<Fd, Leave> {
        match kind {
            RedirectKind::Read(file) => {
                let path = self.single(file).await?;
                self.open(&path, Open::READ).await
            }
            RedirectKind::ReadWrite(file) => {
                let path = self.single(file).await?;
                self.open(&path, READ_WRITE).await
            }
            RedirectKind::Append(file) => {
                let path = self.single(file).await?;
                self.open(&path, Open::APPEND).await
            }
            RedirectKind::Write { file, clobber } => self.create(file, !*clobber && self.options.noclobber).await,
            RedirectKind::Here(text) => {
                let text = match text.get() {
                    Some(word) => self.single(word).await?,
                    None => String::new(),
                };
                Ok(Fd { source: Some(Source::text(text)), sink: None })
            }
            RedirectKind::Duplicate(_) | RedirectKind::Both(_) => Ok(Fd::default()),
        }
    }

    async fn create(&mut self, file: &Word, keep: bool) -> Result<Fd, Leave> {
        let path = self.single(file).await?;
        if keep && self.view().metadata(&path, true).is_ok_and(|found| found.kind == Kind::File) {
            self.complain(format!("can't create {path}: File exists")).await;
            return Err(Leave::Error(1));
        }
        self.open(&path, Open::CREATE).await
    }

    async fn open(&mut self, path: &str, how: Open) -> Result<Fd, Leave> {
        let error = match self.view().open(path, how) {
            Ok(Opened::File(file)) => {
                let is_directory = how == Open::READ && file.metadata().is_ok_and(|found| found.is_dir());
                let source = if is_directory { Source::stream(unreadable()) } else { Source::file(file.clone()) };
                let sink = (how.write || how.append).then(|| file_output(file));
                return Ok(Fd { source: Some(source), sink });
            }
            Ok(Opened::Input(input)) => return Ok(Fd { source: Some(Source::stream(input)), sink: None }),
            Ok(Opened::Output(output)) => {
                let source = how.read.then(|| Source::stream(Input::empty()));
                return Ok(Fd { source, sink: Some(output) });
            }
            Ok(Opened::Own(fd)) if self.fds.contains_key(&fd) => return Ok(self.fds.get(&fd).cloned().unwrap_or_default()),
            Ok(Opened::Own(_)) => std::io::ErrorKind::NotFound.into(),
            Err(error) => error,
        };
        let creates = how.create;
        let why = match error.kind() {
            std::io::ErrorKind::NotFound if creates => "nonexistent directory".to_owned(),
            std::io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => reason(&error),
        };
        self.complain(format!("can't {} {path}: {why}", if creates { "create" } else { "open" })).await;
        Err(Leave::Error(1))
    }
}

/// A directory can be opened, and not read.
fn unreadable() -> Input {
    struct Directory;
    impl tokio::io::AsyncRead for Directory {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Err(std::io::ErrorKind::IsADirectory.into()))
        }
    }
    Input::new(Directory)
}
