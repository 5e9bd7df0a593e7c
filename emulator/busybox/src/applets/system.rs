//! The machine, as a container sees it.

use std::time::Duration;

use crate::applet::{Applet, Ended};

pub(super) async fn sleep(applet: Applet) -> Ended {
    let (_, args) = applet.options("+", &[])?;
    if args.is_empty() {
        return Err(applet.misused());
    }
    let mut length = Duration::ZERO;
    for arg in &args {
        let more = crate::duration::duration(arg);
        length = length.saturating_add(more.ok_or_else(|| applet.fail(format_args!("invalid number '{arg}'")))?);
    }
    crate::duration::sleep(length).await;
    Ok(0)
}

/// `sync`: what is written is there already.
pub(super) async fn sync(applet: Applet) -> Ended {
    applet.options("df", &[])?;
    Ok(0)
}
