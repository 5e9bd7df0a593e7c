//! An image of one static binary, as a tar of an OCI image layout, with no Docker to build it.
//!
//! The format: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>. containerd, and so
//! `ctr images import` and K3s's import of `agent/images`, takes the image's name from the annotation
//! `io.containerd.image.name`: <https://github.com/containerd/containerd/blob/v2.1.4/core/images/annotations.go>.

use std::io;

use serde_json::{Value, json};

use crate::digest;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Not compressed: unpacking is part of each boot, and the archive never crosses a network.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Why an archive could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the OCI archive of {reference} could not be written")]
pub struct OciError {
    reference: String,
    source: io::Error,
}

/// An image that holds one program and nothing else.
#[derive(Debug, Clone)]
pub struct OciArchive<'a> {
    /// Its full reference, registry and tag included.
    pub reference: &'a str,
    /// The program's absolute path in the image, which is also the entrypoint.
    pub path: &'a str,
    /// The program.
    pub program: &'a [u8],
    /// The arguments it gets when a pod names none.
    pub default_arguments: &'a [&'a str],
    /// The architecture in Go's spelling: `amd64`, `arm64`.
    pub architecture: &'a str,
}

impl OciArchive<'_> {
    /// Writes the archive. The same image gives the same bytes.
    ///
    /// # Errors
    /// [`OciError`], which a write to memory does not meet in practice.
    pub fn to_tar(&self) -> Result<Vec<u8>, OciError> {
        self.write().map_err(|source| OciError { reference: self.reference.to_owned(), source })
    }

    fn write(&self) -> io::Result<Vec<u8>> {
        let layer = self.layer()?;
        let config = to_json(&json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Entrypoint": [self.path], "Cmd": self.default_arguments},
            "rootfs": {"type": "layers", "diff_ids": [oci_digest(&layer)]},
        }))?;
        let manifest = to_json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)],
        }))?;
        let mut entry = descriptor(MANIFEST, &manifest);
        entry["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        entry["annotations"] = json!({"io.containerd.image.name": self.reference});
        let index = to_json(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}))?;

        let mut archive = tar::Builder::new(Vec::with_capacity(layer.len() + 16 * 1024));
        append(&mut archive, "oci-layout", &to_json(&json!({"imageLayoutVersion": "1.0.0"}))?, 0o644)?;
        append(&mut archive, "index.json", &index, 0o644)?;
        for blob in [&manifest, &config, &layer] {
            append(&mut archive, &format!("blobs/sha256/{}", digest::full(blob)), blob, 0o644)?;
        }
        archive.into_inner()
    }

    fn layer(&self) -> io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::with_capacity(self.program.len() + 4096));
        // Programs expect it, and an image from nothing has none.
        let mut tmp = header(0, 0o1777);
        tmp.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut tmp, "tmp/", io::empty())?;
        append(&mut layer, self.path.trim_start_matches('/'), self.program, 0o755)?;
        layer.into_inner()
    }
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
    archive.append_data(&mut header(content.len() as u64, mode), path, content)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": oci_digest(content), "size": content.len()})
}

fn to_json(value: &Value) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::from)
}

/// As an image names a blob.
fn oci_digest(content: &[u8]) -> String {
    format!("sha256:{}", digest::full(content))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    fn archive() -> OciArchive<'static> {
        OciArchive {
            reference: "docker.io/k3s-arc/standin:test",
            path: "/k3s-arc-standin",
            program: b"\x7fELF, as it were",
            default_arguments: &["launcher"],
            architecture: "amd64",
        }
    }

    fn files(tar: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), (entry.header().mode().unwrap(), content))
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_digest_and_size_points_at_its_blob_down_to_the_program() {
        let files = files(&archive().to_tar().unwrap());
        let json = |name: &str| -> Value { serde_json::from_slice(&files[name].1).unwrap() };
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/{}", digest.replace(':', "/"))].1;
            assert_eq!(oci_digest(content), digest);
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
        let entry = &json("index.json")["manifests"][0];
        assert_eq!(entry["annotations"]["io.containerd.image.name"], "docker.io/k3s-arc/standin:test");
        let manifest: Value = serde_json::from_slice(&blob(entry)).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["Entrypoint"][0], "/k3s-arc-standin");
        assert_eq!(config["config"]["Cmd"][0], "launcher");
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], oci_digest(&layer));
        let (mode, program) = &self::files(&layer)["k3s-arc-standin"];
        assert_eq!((*mode, program.as_slice()), (0o755, archive().program));
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        assert_eq!(archive().to_tar().unwrap(), archive().to_tar().unwrap());
    }
}
