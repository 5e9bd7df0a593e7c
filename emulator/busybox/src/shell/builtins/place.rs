//! Where the shell is.

use std::path::Path;

use k3s_arc_container::files::Kind;

use super::super::{Outcome, Shell};
use crate::reason::reason;
use crate::view::normal;

pub(super) async fn cd(shell: &mut Shell, args: &[String]) -> Outcome {
    let (options, words) = super::letters(shell, "LP", args).await?;
    let physical = options.last().is_some_and(|(letter, _)| *letter == 'P');
    let mut told = false;
    let target = match words.first().map(String::as_str) {
        None => shell.variables.get("HOME").unwrap_or("").to_owned(),
        Some("-") => {
            told = true;
            shell.variables.get("OLDPWD").unwrap_or("/").to_owned()
        }
        Some(target) => target.to_owned(),
    };
    let view = shell.view();
    let mut to = normal(&shell.cwd.join(&target));
    if physical {
        to = view.files().canonicalize(&to).unwrap_or(to);
    }
    // Each name on the way must be there, though `..` is taken as it is written.
    let found = view.metadata(&to, true);
    let error = match found {
        Ok(found) if found.kind != Kind::Directory => std::io::ErrorKind::NotADirectory.into(),
        Ok(_) if !view.may(&to, 'x') => std::io::ErrorKind::PermissionDenied.into(),
        Ok(_) => {
            move_to(shell, &to).await?;
            if told {
                return shell.put(1, format!("{}\n", to.display())).await;
            }
            return Ok(0);
        }
        Err(error) => error,
    };
    Err(shell.fail(format!("can't cd to {target}: {}", reason(&error))).await)
}

async fn move_to(shell: &mut Shell, to: &Path) -> Result<(), super::Leave> {
    let from = shell.cwd.display().to_string();
    shell.cwd = to.to_owned();
    shell.assign("OLDPWD", from).await?;
    shell.assign("PWD", to.display().to_string()).await
}

pub(super) async fn pwd(shell: &mut Shell, args: &[String]) -> Outcome {
    let mut cwd = shell.cwd.clone();
    if args.first().is_some_and(|arg| arg == "-P") {
        cwd = shell.container.files.canonicalize(&cwd).unwrap_or(cwd);
    }
    shell.put(1, format!("{}\n", cwd.display())).await
}

pub(super) async fn umask(shell: &mut Shell, args: &[String]) -> Outcome {
    let Some(text) = args.first() else {
        let mask = format!("{:04o}\n", shell.umask);
        return shell.put(1, mask).await;
    };
    if text == "-S" {
        let allowed = 0o777 & !shell.umask;
        let letters = |shift: u32| {
            "rwx"
                .chars()
                .enumerate()
                .filter(|(bit, _)| (allowed >> shift) & (4 >> bit) != 0)
                .map(|(_, letter)| letter)
                .collect::<String>()
        };
        let line = format!("u={},g={},o={}\n", letters(6), letters(3), letters(0));
        return shell.put(1, line).await;
    }
    match crate::mode::change(text, 0o777 & !shell.umask, false, 0) {
        Some(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            shell.umask = u32::from_str_radix(text, 8).unwrap_or(shell.umask) & 0o777;
            Ok(0)
        }
        Some(allowed) => {
            shell.umask = 0o777 & !allowed;
            Ok(0)
        }
        None => Err(shell.fail(format!("illegal mode: {text}")).await),
    }
}
