//! Users and groups, as `/etc/passwd` and `/etc/group` name them.

use crate::view::View;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

fn lines(view: &View, path: &str) -> Vec<Vec<String>> {
    let text = view.files().read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
}

fn users(view: &View) -> impl Iterator<Item = User> {
    lines(view, "/etc/passwd").into_iter().filter_map(|fields| match fields.as_slice() {
        [name, _, uid, gid, _, home, ..] => {
            Some(User { name: name.clone(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.clone() })
        }
        _ => None,
    })
}

impl User {
    pub(crate) fn named(view: &View, name: &str) -> Option<Self> {
        users(view).find(|user| user.name == name)
    }

    pub(crate) fn numbered(view: &View, uid: u32) -> Option<Self> {
        users(view).find(|user| user.uid == uid)
    }
}

fn groups(view: &View) -> impl Iterator<Item = (String, u32)> {
    lines(view, "/etc/group").into_iter().filter_map(|fields| Some((fields.first()?.clone(), fields.get(2)?.parse().ok()?)))
}

/// A group's number.
pub(crate) fn group_named(view: &View, name: &str) -> Option<u32> {
    groups(view).find(|(group, _)| group == name).map(|(_, gid)| gid)
}

/// A group's name.
pub(crate) fn group_numbered(view: &View, gid: u32) -> Option<String> {
    groups(view).find(|(_, number)| *number == gid).map(|(name, _)| name)
}
