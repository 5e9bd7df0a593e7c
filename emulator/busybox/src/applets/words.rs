//! What the shell has built in, for those who execute it.

use crate::applet::{Applet, Ended, Stop};
use crate::condition::{Asked, holds};

pub(super) async fn echo(mut applet: Applet) -> Ended {
    let text = crate::echo::echo(&applet.args);
    applet.put(text).await?;
    applet.end(0).await
}

pub(super) async fn printf(mut applet: Applet) -> Ended {
    let Some((format, args)) = applet.args.split_first() else { return Err(applet.misused()) };
    let printed = crate::printf::printf(format, args);
    for complaint in &printed.complaints {
        applet.complain(complaint);
    }
    applet.put(printed.text).await?;
    applet.end(printed.status).await
}

pub(super) async fn bracket(mut applet: Applet) -> Ended {
    let closing = if applet.known.name == "[" { "]" } else { "]]" };
    if applet.args.last().is_none_or(|last| last != closing) {
        applet.complain(format_args!("missing {closing}"));
        return Err(Stop(2));
    }
    applet.args.pop();
    test(applet).await
}

pub(super) async fn test(applet: Applet) -> Ended {
    let is_terminal = |fd| match fd {
        0 => applet.stdin.is_terminal(),
        1 => applet.stdout.is_terminal(),
        2 => applet.stderr.is_terminal(),
        _ => false,
    };
    let asked = Asked { view: &applet.view, is_terminal: &is_terminal, patterns: applet.known.name == "[[" };
    match holds(&applet.args, &asked) {
        Ok(holds) => Ok(i32::from(!holds)),
        Err(fault) => {
            applet.complain(fault);
            Ok(2)
        }
    }
}

/// `true`
pub(super) async fn yes_it_is(_: Applet) -> Ended {
    Ok(0)
}

/// `false`
pub(super) async fn no(_: Applet) -> Ended {
    Ok(1)
}
