use super::*;

struct Set {
    folder: tempfile::TempDir,
    disk: Arc<Disk>,
}

impl Set {
    fn new() -> Self {
        let set = Self { folder: tempfile::tempdir().unwrap(), disk: Arc::default() };
        for name in ["root", "image/bin", "image/etc", "volume"] {
            fs::create_dir_all(set.real(name)).unwrap();
        }
        fs::write(set.real("image/etc/passwd"), "root").unwrap();
        set
    }

    fn real(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn files(&self, uid: u32, read_only: bool) -> Files {
        let root = Mount { at: "/".into(), source: self.real("root"), lower: Some(self.real("image")), read_only: false };
        let volume = Mount { at: "/data".into(), source: self.real("volume"), lower: None, read_only };
        Files::new(vec![root, volume], User { uid, gid: uid, groups: Vec::new() }, self.disk.clone())
    }
}

#[test]
fn an_image_shows_through_and_is_never_changed() {
    let set = Set::new();
    let files = set.files(0, false);
    assert_eq!(files.read_to_string("/etc/passwd").unwrap(), "root");
    files.write("/etc/passwd", "changed").unwrap();
    files.write("/etc/new", "new").unwrap();
    assert_eq!(files.read_dir("/etc").unwrap(), ["new", "passwd"]);
    assert_eq!(files.read_to_string("/etc/passwd").unwrap(), "changed");
    assert_eq!(fs::read_to_string(set.real("image/etc/passwd")).unwrap(), "root");
    files.remove_file("/etc/passwd").unwrap();
    assert_eq!(files.read("/etc/passwd").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(files.read_dir("/").unwrap(), ["bin", "data", "etc"]);
    files.remove_dir_all("/etc").unwrap();
    assert_eq!(files.read_dir("/").unwrap(), ["bin", "data"]);
}

#[test]
fn links_stay_inside() {
    let set = Set::new();
    let files = set.files(0, false);
    fs::write(set.folder.path().join("secret"), "outside").unwrap();
    files.symlink("../../../../secret", "/up").unwrap();
    files.symlink("/data/in", "/in").unwrap();
    files.symlink("/loop", "/loop").unwrap();
    files.write("/data/in", "volume").unwrap();
    assert_eq!(files.read("/up").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(files.read("/../../secret").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(files.read_to_string("/in").unwrap(), "volume");
    assert_eq!(fs::read_to_string(set.real("volume/in")).unwrap(), "volume");
    assert!(files.read("/loop").unwrap_err().to_string().contains("symbolic links"));
    assert_eq!(files.read_link("/in").unwrap(), Path::new("/data/in"));
    assert_eq!(files.canonicalize("/bin/../in").unwrap(), Path::new("/data/in"));
    assert_eq!(files.canonicalize("/up").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_mounted_is_not_followed_out_of_its_folder() {
    let set = Set::new();
    fs::create_dir_all(set.real("volume/a/part")).unwrap();
    fs::create_dir_all(set.real("outside/part")).unwrap();
    fs::write(set.real("outside/part/secret"), "outside").unwrap();
    fs::write(set.real("outside/secret"), "outside").unwrap();
    let mount = |at: &str, source: &str| Mount { at: at.into(), source: set.real(source), lower: None, read_only: false };
    let mounts = [("/", "root"), ("/all", "volume"), ("/sub", "volume/a"), ("/deep", "volume/a/part")];
    let mounts = mounts.map(|(at, source)| mount(at, source)).to_vec();
    let files = Files::new(mounts, User::default(), set.disk.clone());
    files.write("/sub/own", "own").unwrap();
    assert_eq!(files.read_to_string("/all/a/own").unwrap(), "own");
    files.rename("/all/a", "/all/b").unwrap();
    files.symlink(set.real("outside"), "/all/a").unwrap();
    for path in ["/sub", "/deep"] {
        let denied = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{path}");
        denied(files.read(format!("{path}/secret")).unwrap_err());
        denied(files.read_dir(path).unwrap_err());
        denied(files.metadata(format!("{path}/../sub/secret")).unwrap_err());
        denied(files.write(format!("{path}/secret"), "changed").unwrap_err());
        denied(files.create_dir(format!("{path}/new")).unwrap_err());
        denied(files.remove_file(format!("{path}/secret")).unwrap_err());
    }
    assert_eq!(fs::read_to_string(set.real("outside/secret")).unwrap(), "outside");
    assert_eq!(fs::read_dir(set.real("outside")).unwrap().count(), 2);
    // What is gone is not made again somewhere else.
    files.remove_file("/all/a").unwrap();
    files.symlink(set.real("outside/part"), "/all/a").unwrap();
    assert!(files.create_dir_all("/deep/x").is_err() && files.create_dir("/deep").is_err());
    assert_eq!(fs::read_dir(set.real("outside/part")).unwrap().count(), 1);
    assert_eq!(files.read_to_string("/all/b/own").unwrap(), "own");
}

#[test]
fn users_own_what_they_make_and_are_kept_from_the_rest() {
    let set = Set::new();
    fs::set_permissions(set.real("volume"), fs::Permissions::from_mode(0o777)).unwrap();
    let (root, user) = (set.files(0, false), set.files(7, false));
    user.write("/data/mine", "x").unwrap();
    let seen = root.metadata("/data/mine").unwrap();
    assert_eq!((seen.uid, seen.gid, seen.mode), (7, 7, 0o644));
    assert_eq!(user.write("/etc/x", "x").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    root.write("/data/roots", "x").unwrap();
    assert_eq!(user.write("/data/roots", "y").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    root.set_mode("/data/roots", 0o600).unwrap();
    assert_eq!(user.read("/data/roots").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(user.set_owner("/data/mine", 1, 1).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    root.set_owner("/data/roots", 7, 7).unwrap();
    assert_eq!(user.read_to_string("/data/roots").unwrap(), "x");
    root.rename("/data/mine", "/data/moved").unwrap();
    assert_eq!(root.metadata("/data/moved").unwrap().uid, 7);
}

#[test]
fn the_group_of_a_set_group_id_directory_is_inherited() {
    let set = Set::new();
    fs::set_permissions(set.real("volume"), fs::Permissions::from_mode(0o2777)).unwrap();
    set.disk.set_owner(&set.real("volume"), 0, 2000);
    set.files(7, false).write("/data/x", "").unwrap();
    assert_eq!(set.files(0, false).metadata("/data/x").unwrap().gid, 2000);
}

#[test]
fn what_is_read_only_or_full_is_not_written() {
    let set = Set::new();
    let files = set.files(0, true);
    assert_eq!(files.write("/data/x", "x").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(files.create_dir("/data/d").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    set.disk.set_full(true);
    assert_eq!(files.write("/tmp", "x").unwrap_err().kind(), io::ErrorKind::StorageFull);
    set.disk.set_full(false);
    files.create_dir_all("/a/b/c").unwrap();
    assert_eq!(files.remove_dir("/a").unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(files.remove_dir("/data").unwrap_err().kind(), io::ErrorKind::ResourceBusy);
}
