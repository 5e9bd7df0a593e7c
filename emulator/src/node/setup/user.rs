//! Who a container runs as: its security context, its pod's, its image's (`determineEffectiveSecurityContext`,
//! `verifyRunAsNonRoot`), and what containerd reads in the image's `/etc/passwd` and `/etc/group`.

use std::collections::BTreeSet;

use k3s_arc_container::{Image, User};
use serde_json::Value;

use super::{ConfigError, id, metadata, security};
use crate::field::quote;
use crate::kinds::view::{flag, list, text};

/// The user and groups of a container's processes.
pub(crate) fn user(pod: &Value, container: &Value, image: &Image) -> Result<User, ConfigError> {
    verify_not_root(pod, container, image)?;
    let uid = uid(pod, container, image);
    let accounts = Accounts::of(image);
    let account = accounts.by_id(uid);
    // The kubelet passes on the image's user without its group.
    let gid = id(security(pod, container, "runAsGroup")).or(account.as_ref().map(|found| found.gid)).unwrap_or(0);
    let context = &pod["spec"]["securityContext"];
    let mut groups: BTreeSet<u32> = BTreeSet::new();
    if text(&context["supplementalGroupsPolicy"]) != "Strict"
        && let Some(account) = &account
    {
        groups.extend(accounts.groups_of(&account.name));
    }
    groups.extend(id(&context["fsGroup"]));
    groups.extend(list(&context["supplementalGroups"]).iter().filter_map(id));
    groups.remove(&gid);
    Ok(User { uid, gid, groups: groups.into_iter().collect() })
}

fn uid(pod: &Value, container: &Value, image: &Image) -> u32 {
    let own = id(security(pod, container, "runAsUser"));
    own.or(image.user.map(|(uid, _)| uid)).unwrap_or(0)
}

fn verify_not_root(pod: &Value, container: &Value, image: &Image) -> Result<(), ConfigError> {
    if !flag(security(pod, container, "runAsNonRoot")) || uid(pod, container, image) != 0 {
        return Ok(());
    }
    let what = if security(pod, container, "runAsUser").is_null() {
        "container has runAsNonRoot and image will run as root"
    } else {
        "container's runAsUser breaks non-root policy"
    };
    let pod = format!("{}_{}({})", metadata(pod, "name"), metadata(pod, "namespace"), metadata(pod, "uid"));
    Err(ConfigError::config(format!("{what} (pod: {}, container: {})", quote(&pod), text(&container["name"]))))
}

/// The user's home, for who has no variable of that name: of `/etc/passwd`, or else the root folder.
pub(super) fn home(pod: &Value, container: &Value, image: &Image) -> String {
    let account = Accounts::of(image).by_id(uid(pod, container, image));
    account.map(|found| found.home).filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned())
}

/// The files that name users and groups.
struct Accounts<'a> {
    passwd: &'a str,
    group: &'a str,
}

struct Account {
    name: String,
    gid: u32,
    home: String,
}

impl<'a> Accounts<'a> {
    fn of(image: &'a Image) -> Self {
        let content = |path: &str| {
            let found = image.files.iter().rev().find(|(own, ..)| own == path);
            found.and_then(|(_, content, _)| std::str::from_utf8(content).ok()).unwrap_or_default()
        };
        Self { passwd: content("/etc/passwd"), group: content("/etc/group") }
    }

    fn by_id(&self, uid: u32) -> Option<Account> {
        self.passwd.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, own, gid, _, home, ..] = fields[..] else { return None };
            let own: u32 = own.parse().ok()?;
            (own == uid).then_some(Account { name: name.to_owned(), gid: gid.parse().ok()?, home: home.to_owned() })
        })
    }

    /// The groups that list a user, but for the one of his name.
    fn groups_of(&self, user: &str) -> impl Iterator<Item = u32> {
        self.group.lines().filter_map(move |line| {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, gid, members] = fields[..] else { return None };
            let is_member = name != user && members.split(',').any(|member| member == user);
            is_member.then(|| gid.parse().ok()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn image() -> Image {
        Image::new().file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102:web:/srv:/bin/sh\n", 0o644).file(
            "/etc/group",
            "root:x:0:root\nwheel:x:10:root,web\nweb:x:102:web\n",
            0o644,
        )
    }

    #[rstest]
    #[case::root(json!({}), json!({}), None, (0, 0), &[10], "/root")]
    #[case::of_the_image(json!({}), json!({}), Some((101, 7)), (101, 102), &[10], "/srv")]
    #[case::unknown_to_the_image(json!({}), json!({}), Some((65532, 65532)), (65532, 0), &[], "/")]
    #[case::of_the_pod(json!({"runAsUser": 1000, "runAsGroup": 3000}), json!({}), None, (1000, 3000), &[], "/")]
    #[case::own(json!({"runAsUser": 1000, "runAsGroup": 3000}), json!({"runAsUser": 5}), None, (5, 3000), &[], "/")]
    #[case::groups(
        json!({"runAsUser": 101, "fsGroup": 2000, "supplementalGroups": [4000, 102]}), json!({}), None, (101, 102), &[10, 2000, 4000], "/srv"
    )]
    #[case::strict(
        json!({"supplementalGroupsPolicy": "Strict", "supplementalGroups": [4]}), json!({}), None, (0, 0), &[4], "/root"
    )]
    fn users_of_containers(
        #[case] of_pod: Value,
        #[case] own: Value,
        #[case] of_image: Option<(u32, u32)>,
        #[case] (uid, gid): (u32, u32),
        #[case] groups: &[u32],
        #[case] expected_home: &str,
    ) {
        let (pod, container) = (json!({"spec": {"securityContext": of_pod}}), json!({"securityContext": own}));
        let image = Image { user: of_image, ..image() };
        assert_eq!(user(&pod, &container, &image).unwrap(), User { uid, gid, groups: groups.to_vec() });
        assert_eq!(home(&pod, &container, &image), expected_home);
    }

    #[rstest]
    #[case(json!({"runAsNonRoot": true}), "container has runAsNonRoot and image will run as root (pod: \"p_ns(u1)\", container: c)")]
    #[case(
        json!({"runAsNonRoot": true, "runAsUser": 0}),
        "container's runAsUser breaks non-root policy (pod: \"p_ns(u1)\", container: c)"
    )]
    fn root_is_refused_where_it_must_not_be(#[case] context: Value, #[case] expected: &str) {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u1"}, "spec": {"securityContext": context}});
        let error = user(&pod, &json!({"name": "c"}), &image()).unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), ("CreateContainerConfigError", expected));
        let other = Image::new().user(101, 0);
        assert_eq!(user(&pod, &json!({"name": "c", "securityContext": {"runAsUser": 7}}), &other).unwrap().uid, 7);
    }
}
