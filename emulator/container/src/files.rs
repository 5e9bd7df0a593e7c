//! A container's files: folders of this machine, seen as one tree from the container's root.
//!
//! There is no mount namespace behind it. A path is walked from the root, step by step, through mounts and links, as the kernel would do
//! it (`man 7 path_resolution`), and comes out as a path of this machine, inside the folders that the container was given and never outside.
//! Users other than this process's cannot own files either, so a [`Disk`] remembers who owns what, and permission is judged here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::User;

/// A node's disk: what its folders and files cannot say themselves.
#[derive(Debug, Default)]
pub struct Disk {
    /// By path of this machine; who is not listed is root's.
    owners: Mutex<BTreeMap<PathBuf, (u32, u32)>>,
    full: AtomicBool,
}

impl Disk {
    fn owners(&self) -> MutexGuard<'_, BTreeMap<PathBuf, (u32, u32)>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user and group that own a path of this machine.
    #[must_use]
    pub fn owner(&self, real: &Path) -> (u32, u32) {
        self.owners().get(real).copied().unwrap_or_default()
    }

    /// Gives a path of this machine to a user and a group.
    pub fn set_owner(&self, real: &Path, uid: u32, gid: u32) {
        if (uid, gid) == (0, 0) {
            self.owners().remove(real);
        } else {
            self.owners().insert(real.to_owned(), (uid, gid));
        }
    }

    /// Forgets a path of this machine and all below it.
    pub fn forget(&self, real: &Path) {
        self.owners().retain(|path, _| !path.starts_with(real));
    }

    fn rename(&self, from: &Path, to: &Path) {
        let mut owners = self.owners();
        let moved: Vec<_> = owners.iter().filter(|(path, _)| path.starts_with(from)).map(|(p, o)| (p.clone(), *o)).collect();
        owners.retain(|path, _| !path.starts_with(to) && !path.starts_with(from));
        for (path, owner) in moved {
            let below = path.strip_prefix(from).unwrap_or(Path::new(""));
            owners.insert(if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) }, owner);
        }
    }

    /// Lets every write fail for lack of space, or not any more.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Whether it is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

/// A folder or file of this machine at a place in a container's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where the container sees it: an absolute path.
    pub at: PathBuf,
    /// What it is: a path of this machine without links. Nothing is found where there is one.
    pub source: PathBuf,
    /// What shows through where `source` has nothing: an image's files below a container's own.
    pub lower: Option<PathBuf>,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

impl Mount {
    /// Whoever may write to a folder above a mount's source could put a link in its place, which the kernel would follow to anywhere on
    /// this machine.
    fn check(&self) -> io::Result<()> {
        for path in std::iter::once(&self.source).chain(&self.lower) {
            if fs::canonicalize(path)? != *path {
                return Err(denied());
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Tree {
    /// The deepest first.
    mounts: Vec<Mount>,
    /// Paths of lower folders that were removed.
    removed: Mutex<BTreeSet<PathBuf>>,
    disk: Arc<Disk>,
}

/// A tree of files, as a user may see and change it.
#[derive(Debug, Clone)]
pub struct Files {
    /// None: this machine's own, and its kernel judges.
    tree: Option<Arc<Tree>>,
    user: Arc<User>,
}

/// What there is to know about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// `File`, `Directory`, `Link` or else.
    pub kind: Kind,
    /// The permission bits, such as `0o755`.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// When it was changed: seconds since 1970.
    pub modified: i64,
    /// How many names it has.
    pub links: u64,
    /// Its number on the disk.
    pub inode: u64,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, device ...
    Other,
}

/// How a file is to be opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// To be read.
    pub read: bool,
    /// To be written.
    pub write: bool,
    /// To be written at its end.
    pub append: bool,
    /// To be emptied first.
    pub truncate: bool,
    /// To be made where it is missing.
    pub create: bool,
    /// To be made, and refused where it is not missing.
    pub create_new: bool,
}

impl Open {
    /// For reading.
    pub const READ: Self = Self { read: true, write: false, append: false, truncate: false, create: false, create_new: false };
    /// For writing a new content, as `File::create` does.
    pub const CREATE: Self = Self { read: false, write: true, append: false, truncate: true, create: true, create_new: false };
    /// For adding to the end, made where it is missing.
    pub const APPEND: Self = Self { read: false, write: false, append: true, truncate: false, create: true, create_new: false };

    fn changes(self) -> bool {
        self.write || self.append || self.truncate || self.create_new
    }

    fn options(self) -> fs::OpenOptions {
        let mut options = fs::OpenOptions::new();
        options.read(self.read).write(self.write).append(self.append);
        options.truncate(self.truncate).create(self.create).create_new(self.create_new);
        options
    }

    /// Of a path that was walked to its end: a link that is found there now was not there then.
    fn options_without_links(self) -> fs::OpenOptions {
        let mut options = self.options();
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        options
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;
/// Links that one path may go through (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

fn denied() -> io::Error {
    Errno::ACCESS.into()
}

/// A place in the tree.
struct Place {
    /// Where it is on this machine.
    real: PathBuf,
    /// Where it would be made or changed, when `real` is in a lower folder.
    upper: PathBuf,
    read_only: bool,
    /// None: nothing is there.
    found: Option<fs::Metadata>,
}

impl Tree {
    fn removed(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an absolute path without links lies on this machine. Mounts are looked at when they are entered.
    fn locate(&self, path: &Path) -> io::Result<Place> {
        let Some((mount, below)) = self.mount_of(path) else {
            // A tree without a root has nothing.
            return Ok(Place { real: PathBuf::new(), upper: PathBuf::new(), read_only: true, found: None });
        };
        if below.as_os_str().is_empty() {
            mount.check()?;
        }
        let join = |base: &Path| if below.as_os_str().is_empty() { base.to_owned() } else { base.join(below) };
        let upper = join(&mount.source);
        let mut place = Place { real: upper.clone(), upper, read_only: mount.read_only, found: None };
        place.found = fs::symlink_metadata(&place.real).ok();
        if let (None, Some(lower)) = (&place.found, &mount.lower) {
            let lower = join(lower);
            let removed = self.removed();
            if !lower.ancestors().any(|path| removed.contains(path)) {
                place.found = fs::symlink_metadata(&lower).ok();
                if place.found.is_some() {
                    place.real = lower;
                }
            }
        }
        if place.found.is_none() && self.mounts.iter().any(|m| m.at.starts_with(path)) {
            // On the way to a mount there are directories, whether the tree has them or not.
            place.found = fs::symlink_metadata(&mount.source).ok();
        }
        Ok(place)
    }

    /// The mount that an absolute path without links is in, and what of the path is below it.
    fn mount_of<'a>(&self, path: &'a Path) -> Option<(&Mount, &'a Path)> {
        self.mounts.iter().find_map(|mount| Some((mount, path.strip_prefix(&mount.at).ok()?)))
    }

    fn may(&self, user: &User, place: &Place, wanted: u32) -> bool {
        let Some(found) = &place.found else { return true };
        if user.uid == 0 {
            return true;
        }
        let (uid, gid) = self.disk.owner(&place.real);
        let shift = match () {
            () if uid == user.uid => 6,
            () if gid == user.gid || user.groups.contains(&gid) => 3,
            () => 0,
        };
        (found.mode() >> shift) & wanted == wanted
    }

    /// Walks a path. Returns the path without links, and the place.
    fn walk(&self, user: &User, path: &Path, follow: bool) -> io::Result<(PathBuf, Place)> {
        let mut left: VecDeque<OsString> = steps(path);
        let mut here = PathBuf::from("/");
        let mut place = self.locate(&here)?;
        let mut links = 0;
        while let Some(step) = left.pop_front() {
            match &place.found {
                None => return Err(Errno::NOENT.into()),
                Some(found) if !found.is_dir() => return Err(Errno::NOTDIR.into()),
                Some(_) if !self.may(user, &place, EXECUTE) => return Err(denied()),
                Some(_) => {}
            }
            if step == OsStr::new("..") {
                here.pop();
                place = self.locate(&here)?;
                continue;
            }
            let next = here.join(&step);
            let found = self.locate(&next)?;
            let is_link = found.found.as_ref().is_some_and(fs::Metadata::is_symlink);
            if is_link && (follow || !left.is_empty()) {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = fs::read_link(&found.real)?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                    place = self.locate(&here)?;
                }
                let mut rest = steps(&target);
                rest.append(&mut left);
                left = rest;
                continue;
            }
            (here, place) = (next, found);
        }
        if let Some((mount, _)) = self.mount_of(&here) {
            mount.check()?;
        }
        Ok((here, place))
    }
}

/// The names of a path, without those that lead nowhere.
fn steps(path: &Path) -> VecDeque<OsString> {
    let step = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(step).collect()
}

impl Files {
    /// This machine's own, as its kernel lets this process see them.
    #[must_use]
    pub fn native() -> Self {
        Self { tree: None, user: Arc::default() }
    }

    /// A tree of mounts; the one at `/` is its root.
    #[must_use]
    pub fn new(mut mounts: Vec<Mount>, user: User, disk: Arc<Disk>) -> Self {
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.at.components().count()));
        Self { tree: Some(Arc::new(Tree { mounts, removed: Mutex::default(), disk })), user: Arc::new(user) }
    }

    /// The same files for another user.
    #[must_use]
    pub fn as_user(&self, user: User) -> Self {
        Self { tree: self.tree.clone(), user: Arc::new(user) }
    }

    /// Who looks at them; of this machine's own, that is the kernel's to know.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// What is mounted, the root first; nothing, for this machine's own.
    pub fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.tree.iter().flat_map(|tree| tree.mounts.iter().rev())
    }

    /// Whether these are this machine's own.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.tree.is_none()
    }

    /// The path of something that is there, without links.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn canonicalize(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let Some(tree) = &self.tree else { return fs::canonicalize(path) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), true)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        Ok(at)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn open(&self, path: impl AsRef<Path>, how: Open) -> io::Result<fs::File> {
        let path = path.as_ref();
        let Some(tree) = &self.tree else { return how.options().open(path) };
        let (at, place) = tree.walk(&self.user, path, true)?;
        match &place.found {
            Some(_) if how.create_new => return Err(Errno::EXIST.into()),
            None if !(how.create || how.create_new) => return Err(Errno::NOENT.into()),
            Some(found) if found.is_dir() && how.changes() => return Err(Errno::ISDIR.into()),
            _ => {}
        }
        if !how.changes() && place.found.is_some() {
            return if tree.may(&self.user, &place, READ) {
                Open::READ.options_without_links().open(&place.real)
            } else {
                Err(denied())
            };
        }
        let wanted = if how.read { READ | WRITE } else { WRITE };
        if place.found.is_some() && !tree.may(&self.user, &place, wanted) {
            return Err(denied());
        }
        let new = place.found.is_none();
        let real = self.writable(tree, &at, place)?;
        let file = how.options_without_links().open(&real)?;
        if new {
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            self.own(tree, &real);
        }
        Ok(file)
    }

    /// The path on this machine to write at, once that is allowed: what lies in a lower folder is copied up, directories on the way
    /// are made there.
    fn writable(&self, tree: &Tree, at: &Path, place: Place) -> io::Result<PathBuf> {
        if place.read_only {
            return Err(Errno::ROFS.into());
        }
        if tree.disk.is_full() {
            return Err(Errno::NOSPC.into());
        }
        if place.found.is_none() {
            self.may_change_directory(tree, at)?;
        }
        if place.real == place.upper && place.upper.parent().is_none_or(Path::exists) {
            return Ok(place.upper);
        }
        if let Some(parent) = place.upper.parent() {
            fs::create_dir_all(parent)?;
        }
        match place.found {
            Some(found) if found.is_dir() => fs::create_dir_all(&place.upper)?,
            Some(found) if found.is_file() && place.real != place.upper => {
                fs::copy(&place.real, &place.upper)?;
            }
            _ => {}
        }
        Ok(place.upper)
    }

    /// Whether names may be added to, or taken from, the directory that a path is in.
    fn may_change_directory(&self, tree: &Tree, at: &Path) -> io::Result<()> {
        let parent = tree.locate(at.parent().unwrap_or(Path::new("/")))?;
        if parent.read_only {
            return Err(Errno::ROFS.into());
        }
        if tree.may(&self.user, &parent, WRITE | EXECUTE) { Ok(()) } else { Err(denied()) }
    }

    /// What is new belongs to its maker; its group is that of a directory with the set-group-ID bit.
    fn own(&self, tree: &Tree, real: &Path) {
        let parent = real.parent().unwrap_or(real);
        let inherits = fs::metadata(parent).is_ok_and(|parent| parent.mode() & 0o2000 != 0);
        let gid = if inherits { tree.disk.owner(parent).1 } else { self.user.gid };
        tree.disk.set_owner(real, self.user.uid, gid);
    }

    /// A file's content.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        io::Read::read_to_end(&mut self.open(path, Open::READ)?, &mut content)?;
        Ok(content)
    }

    /// A file's content as text.
    ///
    /// # Errors
    /// As the kernel says it, and `InvalidData` when it is no UTF-8.
    pub fn read_to_string(&self, path: impl AsRef<Path>) -> io::Result<String> {
        String::from_utf8(self.read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not valid UTF-8"))
    }

    /// Gives a file a content.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> io::Result<()> {
        io::Write::write_all(&mut self.open(path, Open::CREATE)?, content.as_ref())
    }

    /// What is known of what a path leads to.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        self.look(path.as_ref(), true)
    }

    /// The same of a link itself.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn symlink_metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        self.look(path.as_ref(), false)
    }

    /// Whether something is there.
    #[must_use]
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.metadata(path).is_ok()
    }

    fn look(&self, path: &Path, follow: bool) -> io::Result<Metadata> {
        let Some(tree) = &self.tree else {
            let found = if follow { fs::metadata(path)? } else { fs::symlink_metadata(path)? };
            return Ok(metadata(&found, (found.uid(), found.gid())));
        };
        let (_, place) = tree.walk(&self.user, path, follow)?;
        let found = place.found.ok_or(Errno::NOENT)?;
        Ok(metadata(&found, tree.disk.owner(&place.real)))
    }

    /// Whether a file may be executed, or a directory entered; root may execute what anybody may.
    #[must_use]
    pub fn may_execute(&self, path: impl AsRef<Path>) -> bool {
        let Ok(found) = self.metadata(&path) else { return false };
        let Some(tree) = &self.tree else { return found.mode & 0o111 != 0 };
        if self.user.uid == 0 {
            return found.kind == Kind::Directory || found.mode & 0o111 != 0;
        }
        tree.walk(&self.user, path.as_ref(), true).is_ok_and(|(_, place)| tree.may(&self.user, &place, EXECUTE))
    }

    /// Whether a file may be read.
    #[must_use]
    pub fn may_read(&self, path: impl AsRef<Path>) -> bool {
        self.may(path.as_ref(), READ)
    }

    /// Whether a file may be written to.
    #[must_use]
    pub fn may_write(&self, path: impl AsRef<Path>) -> bool {
        self.may(path.as_ref(), WRITE)
    }

    fn may(&self, path: &Path, wanted: u32) -> bool {
        let Some(tree) = &self.tree else { return self.metadata(path).is_ok_and(|found| found.mode & (wanted * 0o111) != 0) };
        let found = tree.walk(&self.user, path, true);
        found.is_ok_and(|(_, place)| {
            place.found.is_some() && tree.may(&self.user, &place, wanted) && !(wanted == WRITE && place.read_only)
        })
    }

    /// The names in a directory, in order, mounts included.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let mut names = BTreeSet::new();
        let mut add = |directory: &Path| -> io::Result<()> {
            for entry in fs::read_dir(directory)? {
                names.insert(entry?.file_name().to_string_lossy().into_owned());
            }
            Ok(())
        };
        let Some(tree) = &self.tree else {
            add(path.as_ref())?;
            return Ok(names.into_iter().collect());
        };
        let (at, place) = tree.walk(&self.user, path.as_ref(), true)?;
        match &place.found {
            None => return Err(Errno::NOENT.into()),
            Some(found) if !found.is_dir() => return Err(Errno::NOTDIR.into()),
            Some(_) if !tree.may(&self.user, &place, READ) => return Err(denied()),
            Some(_) => {}
        }
        if place.upper.is_dir() {
            add(&place.upper)?;
        }
        let mount = tree.mounts.iter().find_map(|m| Some((m.lower.as_ref()?, at.strip_prefix(&m.at).ok()?)));
        if let Some((lower, below)) = mount
            && lower.join(below).is_dir()
        {
            let lower = lower.join(below);
            add(&lower)?;
            let removed = tree.removed();
            names.retain(|name| !removed.contains(&lower.join(name)) || place.upper.join(name).symlink_metadata().is_ok());
        }
        for mount in &tree.mounts {
            if let Ok(below) = mount.at.strip_prefix(&at)
                && let Some(first) = below.components().next()
            {
                names.insert(first.as_os_str().to_string_lossy().into_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(tree) = &self.tree else { return fs::create_dir(path) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), false)?;
        if place.found.is_some() {
            return Err(Errno::EXIST.into());
        }
        let real = self.writable(tree, &at, place)?;
        fs::create_dir(&real)?;
        fs::set_permissions(&real, fs::Permissions::from_mode(0o755))?;
        self.own(tree, &real);
        Ok(())
    }

    /// Makes a directory and those on the way to it; one that is there is fine.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(_) = &self.tree else { return fs::create_dir_all(path) };
        let mut way = PathBuf::from("/");
        for step in path.as_ref().components() {
            way.push(step);
            match self.metadata(&way) {
                Ok(found) if found.kind == Kind::Directory => {}
                Ok(_) => return Err(Errno::NOTDIR.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_dir(&way)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a symbolic link at `path` that says `target`.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(tree) = &self.tree else { return std::os::unix::fs::symlink(target, path) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), false)?;
        if place.found.is_some() {
            return Err(Errno::EXIST.into());
        }
        let real = self.writable(tree, &at, place)?;
        std::os::unix::fs::symlink(target, &real)?;
        self.own(tree, &real);
        Ok(())
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let Some(tree) = &self.tree else { return fs::read_link(path) };
        let (_, place) = tree.walk(&self.user, path.as_ref(), false)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        fs::read_link(&place.real)
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(tree) = &self.tree else { return fs::remove_file(path) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), false)?;
        match &place.found {
            None => return Err(Errno::NOENT.into()),
            Some(found) if found.is_dir() => return Err(Errno::ISDIR.into()),
            Some(_) => {}
        }
        self.take_away(tree, &at, &place, |real| fs::remove_file(real))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(tree) = &self.tree else { return fs::remove_dir(path) };
        if !self.read_dir(path.as_ref())?.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        let (at, place) = tree.walk(&self.user, path.as_ref(), false)?;
        self.take_away(tree, &at, &place, |real| fs::remove_dir(real))
    }

    /// Removes a directory and all below it.
    ///
    /// # Errors
    /// As the kernel says it. What could be removed before is gone.
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if self.tree.is_none() {
            return fs::remove_dir_all(path);
        }
        for name in self.read_dir(path)? {
            let entry = path.join(name);
            if self.symlink_metadata(&entry)?.kind == Kind::Directory {
                self.remove_dir_all(&entry)?;
            } else {
                self.remove_file(&entry)?;
            }
        }
        self.remove_dir(path)
    }

    fn take_away(&self, tree: &Tree, at: &Path, place: &Place, remove: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        self.may_change_directory(tree, at)?;
        if tree.mounts.iter().any(|mount| mount.at == at) {
            return Err(Errno::BUSY.into());
        }
        if place.upper.symlink_metadata().is_ok() {
            remove(&place.upper)?;
            tree.disk.forget(&place.upper);
        }
        let lower = tree.mounts.iter().find_map(|m| Some((m, at.strip_prefix(&m.at).ok()?)));
        if let Some((Mount { lower: Some(lower), .. }, below)) = lower {
            tree.removed().insert(lower.join(below));
        }
        Ok(())
    }

    /// Gives a file or directory another name, within one mount.
    ///
    /// # Errors
    /// As the kernel says it.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
        let Some(tree) = &self.tree else { return fs::rename(from, to) };
        let (old, place) = tree.walk(&self.user, from.as_ref(), false)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        self.may_change_directory(tree, &old)?;
        let mount = |at: &Path| tree.mounts.iter().position(|mount| at.starts_with(&mount.at));
        let (new, target) = tree.walk(&self.user, to.as_ref(), false)?;
        if mount(&old) != mount(&new) || place.real != place.upper {
            return Err(Errno::XDEV.into());
        }
        self.may_change_directory(tree, &new)?;
        let target = Place { found: None, ..target };
        let target = self.writable(tree, &new, target)?;
        fs::rename(&place.real, &target)?;
        tree.disk.rename(&place.real, &target);
        Ok(())
    }

    /// Gives a file or directory permission bits.
    ///
    /// # Errors
    /// As the kernel says it: only its owner and root may.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let Some(tree) = &self.tree else { return fs::set_permissions(path, fs::Permissions::from_mode(mode)) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), true)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        if self.user.uid != 0 && tree.disk.owner(&place.real).0 != self.user.uid {
            return Err(Errno::PERM.into());
        }
        fs::set_permissions(self.writable(tree, &at, place)?, fs::Permissions::from_mode(mode))
    }

    /// Says when a file or directory was changed: seconds since 1970; none: now.
    ///
    /// # Errors
    /// As the kernel says it: only its owner, root and who may write to it may.
    pub fn set_modified(&self, path: impl AsRef<Path>, seconds: Option<i64>) -> io::Result<()> {
        let time = match seconds {
            None => SystemTime::now(),
            Some(seconds) => {
                let distance = Duration::from_secs(seconds.unsigned_abs());
                if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
            }
        };
        let Some(tree) = &self.tree else { return fs::File::open(path)?.set_modified(time) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), true)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        if tree.disk.owner(&place.real).0 != self.user.uid && !tree.may(&self.user, &place, WRITE) {
            return Err(denied());
        }
        Open::READ.options_without_links().open(self.writable(tree, &at, place)?)?.set_modified(time)
    }

    /// Gives a file or directory to a user and a group.
    ///
    /// # Errors
    /// As the kernel says it: only root may.
    pub fn set_owner(&self, path: impl AsRef<Path>, uid: u32, gid: u32) -> io::Result<()> {
        let Some(tree) = &self.tree else { return std::os::unix::fs::chown(path, Some(uid), Some(gid)) };
        let (at, place) = tree.walk(&self.user, path.as_ref(), true)?;
        place.found.as_ref().ok_or(Errno::NOENT)?;
        if self.user.uid != 0 {
            return Err(Errno::PERM.into());
        }
        tree.disk.set_owner(&self.writable(tree, &at, place)?, uid, gid);
        Ok(())
    }
}

fn metadata(found: &fs::Metadata, (uid, gid): (u32, u32)) -> Metadata {
    let kind = match found.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    Metadata {
        kind,
        mode: found.mode() & 0o7777,
        uid,
        gid,
        size: found.size(),
        modified: found.mtime(),
        links: found.nlink(),
        inode: found.ino(),
    }
}

#[cfg(test)]
mod tests;
