//! Who and where a process is.

use crate::applet::{Applet, Ended};
use crate::users::{User, group_numbered};

/// The kernel's release, as far as anybody asks.
const RELEASE: &str = "6.1.0";

pub(super) async fn id(mut applet: Applet) -> Ended {
    let (options, names) = applet.options("ugnrG", &[])?;
    let me = applet.view.files().user().clone();
    let (uid, gid, mut groups) = match names.first() {
        Some(name) => {
            let user = User::named(&applet.view, name).ok_or_else(|| applet.fail(format_args!("unknown user {name}")))?;
            (user.uid, user.gid, vec![user.gid])
        }
        None => (me.uid, me.gid, me.groups),
    };
    let told = !groups.is_empty();
    groups.retain(|group| *group != gid);
    let user_name = User::numbered(&applet.view, uid).map(|user| user.name);
    let group_name = |gid: u32| group_numbered(&applet.view, gid);
    let numbers = !options.has('n');
    let or_number = |name: Option<String>, number: u32| name.filter(|_| !numbers).unwrap_or_else(|| number.to_string());
    let named = |name: Option<String>, number: u32| name.map_or(number.to_string(), |name| format!("{number}({name})"));
    let all = std::iter::once(gid).chain(groups.iter().copied());
    let text = if options.has('u') {
        or_number(user_name, uid)
    } else if options.has('g') {
        or_number(group_name(gid), gid)
    } else if options.has('G') {
        all.map(|group| or_number(group_name(group), group)).collect::<Vec<_>>().join(" ")
    } else {
        let mut text = format!("uid={} gid={}", named(user_name, uid), named(group_name(gid), gid));
        if told {
            let groups: Vec<_> = all.map(|group| named(group_name(group), group)).collect();
            text += &format!(" groups={}", groups.join(","));
        }
        text
    };
    applet.line(text).await?;
    applet.end(0).await
}

pub(super) async fn whoami(mut applet: Applet) -> Ended {
    let uid = applet.view.files().user().uid;
    let Some(user) = User::numbered(&applet.view, uid) else { return Err(applet.fail(format_args!("unknown uid {uid}"))) };
    applet.line(user.name).await?;
    applet.end(0).await
}

pub(super) async fn groups(mut applet: Applet) -> Ended {
    let user = applet.view.files().user().clone();
    let all: Vec<String> = std::iter::once(user.gid)
        .chain(user.groups)
        .map(|group| group_numbered(&applet.view, group).unwrap_or_else(|| group.to_string()))
        .collect();
    applet.line(all.join(" ")).await?;
    applet.end(0).await
}

pub(super) async fn hostname(mut applet: Applet) -> Ended {
    let (options, names) = applet.options("sidfF:", &[])?;
    if !names.is_empty() || options.has('F') {
        return Err(applet.fail("sethostname: Operation not permitted"));
    }
    let name = applet.view.container.hostname.clone();
    let full = || full_name(&applet, &name);
    let shown = match () {
        () if options.has('i') => applet.view.container.net.address().to_string(),
        () if options.has('f') => full(),
        () if options.has('s') => full().split('.').next().unwrap_or_default().to_owned(),
        () if options.has('d') => match full().split_once('.') {
            Some((_, domain)) => domain.to_owned(),
            None => return applet.end(0).await,
        },
        () => name.clone(),
    };
    applet.line(shown).await?;
    applet.end(0).await
}

/// The first of the names that `/etc/hosts` has for the machine (`gethostbyname`).
fn full_name(applet: &Applet, name: &str) -> String {
    let hosts = applet.view.files().read_to_string("/etc/hosts").unwrap_or_default();
    let lines = hosts.lines().filter_map(|line| line.split('#').next());
    let mut names = lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    let found = names.find(|names| names.contains(&name));
    found.and_then(|names| names.first().map(|first| (*first).to_owned())).unwrap_or_else(|| name.to_owned())
}

pub(super) async fn uname(mut applet: Applet) -> Ended {
    let (options, _) = applet.options("amnrspvio", &[])?;
    let machine = std::env::consts::ARCH;
    let host = applet.view.container.hostname.clone();
    let all =
        [('s', "Linux"), ('n', host.as_str()), ('r', RELEASE), ('v', "#1 SMP (emulated)"), ('m', machine), ('o', "GNU/Linux")];
    let none = options.iter().next().is_none();
    let wanted = |letter: char| options.has('a') || options.has(letter) || (none && letter == 's');
    let shown: Vec<&str> = all.iter().filter(|(letter, _)| wanted(*letter)).map(|(_, text)| *text).collect();
    applet.line(shown.join(" ")).await?;
    applet.end(0).await
}

/// The CPUs of the machine: a limit does not change their number.
pub(super) async fn nproc(mut applet: Applet) -> Ended {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    applet.line(count).await?;
    applet.end(0).await
}

pub(super) async fn tty(mut applet: Applet) -> Ended {
    let (options, _) = applet.options("s", &[])?;
    let is_terminal = applet.stdin.is_terminal();
    if !options.has('s') {
        applet.line(if is_terminal { "/dev/pts/0" } else { "not a tty" }).await?;
    }
    applet.end(i32::from(!is_terminal)).await
}

pub(super) async fn which(mut applet: Applet) -> Ended {
    let (options, names) = applet.options("a", &[])?;
    if names.is_empty() {
        return Err(applet.misused());
    }
    let mut status = 0;
    let path = applet.env.get("PATH").cloned();
    for name in &names {
        let found = applet.view.container.executable(name, &applet.view.cwd, path.as_deref());
        match found {
            Ok(found) => applet.line(found.path).await?,
            Err(_) => status = 1,
        }
    }
    let _ = options;
    applet.end(status).await
}

pub(super) async fn printenv(mut applet: Applet) -> Ended {
    let (_, names) = applet.options("", &[])?;
    let mut status = 0;
    if names.is_empty() {
        for (name, value) in applet.env.clone() {
            applet.line(format!("{name}={value}")).await?;
        }
    }
    for name in &names {
        match applet.env.get(name).cloned() {
            Some(value) => applet.line(value).await?,
            None => status = 1,
        }
    }
    applet.end(status).await
}

pub(super) async fn uptime(mut applet: Applet) -> Ended {
    let minutes = crate::proc::uptime() / 60;
    let now = super::date::clock();
    applet.line(format!(" {now} up {:2}:{:02},  0 users,  load average: 0.00, 0.00, 0.00", minutes / 60, minutes % 60)).await?;
    applet.end(0).await
}

pub(super) async fn mktemp(mut applet: Applet) -> Ended {
    use k3s_arc_container::files::Open;
    let (options, words) = applet.options("dqtp:u", &[])?;
    let base = options.value('p').map(str::to_owned).or_else(|| applet.env.get("TMPDIR").cloned());
    let template = match words.first() {
        Some(word) if options.has('t') || options.has('p') => format!("{}/{word}", base.as_deref().unwrap_or("/tmp")),
        Some(word) => word.clone(),
        None => format!("{}/tmp.XXXXXX", base.as_deref().unwrap_or("/tmp")),
    };
    let Some(stem) = template.strip_suffix("XXXXXX") else { return Err(applet.fail("Invalid argument")) };
    for _ in 0..100 {
        let path = format!("{stem}{}", suffix());
        if options.has('u') {
            applet.line(path).await?;
            return applet.end(0).await;
        }
        let at = applet.view.path(&path);
        let files = applet.view.files();
        let made = if options.has('d') {
            files.create_dir(&at).and_then(|()| files.set_mode(&at, 0o700))
        } else {
            files.open(&at, Open { write: true, create_new: true, ..Open::default() }).and_then(|_| files.set_mode(&at, 0o600))
        };
        match made {
            Ok(()) => {
                applet.line(path).await?;
                return applet.end(0).await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(applet.fail(crate::reason::reason(&error))),
        }
    }
    Err(applet.fail("File exists"))
}

/// Six letters and digits that nobody can foresee.
fn suffix() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut number = RandomState::new().build_hasher().finish();
    let mut letter = || {
        let index = usize::try_from(number % 62).unwrap_or(0);
        number /= 62;
        char::from(LETTERS[index])
    };
    (0..6).map(|_| letter()).collect()
}
