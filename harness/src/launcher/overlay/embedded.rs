//! The built-in tree: `tests/fixtures/launcher`, so that the command line works outside a checkout.

/// Its overlay's folder.
pub(super) const OVERLAY: &str = "overlays/k3s";

/// Its files, each with its path.
pub(super) const FILES: &[(&str, &str)] = &[
    ("base/kustomization.yaml", include_str!("../../../../tests/fixtures/launcher/base/kustomization.yaml")),
    ("base/launcher.yaml", include_str!("../../../../tests/fixtures/launcher/base/launcher.yaml")),
    ("base/configs/.test.env.tmpl", include_str!("../../../../tests/fixtures/launcher/base/configs/.test.env.tmpl")),
    ("overlays/k3s/kustomization.yaml", include_str!("../../../../tests/fixtures/launcher/overlays/k3s/kustomization.yaml")),
    ("overlays/k3s/configs/patch.json", include_str!("../../../../tests/fixtures/launcher/overlays/k3s/configs/patch.json")),
];
