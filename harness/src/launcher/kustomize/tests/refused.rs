//! What is said of trees that cannot be rendered.

use std::os::unix::fs::symlink;

use super::*;

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cfg\n";

/// The messages about a tree of a `kustomization.yaml`, a ConfigMap and a Pod.
fn message(kustomization: &str) -> String {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod\nspec:\n  containers:\n  - name: one\n";
    let tree = lay_out(&[
        ("kustomization.yaml", kustomization),
        ("cm.yaml", CONFIG_MAP),
        ("pod.yaml", pod),
        ("other/cm.yaml", CONFIG_MAP),
        ("other/kustomization.yaml", "resources: [cm.yaml]\n"),
        ("no-kind.yaml", "metadata:\n  name: x\n"),
        ("no-name.yaml", "kind: Pod\n"),
        ("no-yaml.yaml", "a: 1\nb: [1\n"),
        ("component/kustomization.yaml", "kind: Component\nresources: []\n"),
        ("round/kustomization.yaml", "resources: [../round/again]\n"),
        ("round/again/kustomization.yaml", "resources: [..]\n"),
        ("several/kustomization.yaml", "resources: []\n"),
        ("several/kustomization.yml", "resources: []\n"),
        ("empty/x.txt", ""),
    ]);
    message_of(&tree)
}

fn message_of(tree: &TempDir) -> String {
    match built(tree.path()) {
        Ok(built) => panic!("it renders:\n{built}"),
        Err(error) => rendered(&error),
    }
}

/// Every message, with what it is about.
fn messages(kustomizations: &[&str]) -> String {
    kustomizations.iter().map(|text| format!("{text}-----\n{}\n", message(text))).collect()
}

#[test]
fn what_a_kustomization_says_and_is_not_known() {
    insta::assert_snapshot!(messages(&[
        "resources: []\nhelmCharts: []\nvars:\n- name: x\n",
        "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nresources: []\n",
        "resources:\n- component\n",
        "images:\n- name: nginx\n  tagSuffix: x\n",
        "configMapGenerator:\n- name: a\n  env: x\n  type: y\n",
        "secretGenerator:\n- name: a\n  behavior: none\n",
        "labels:\n- pairs: {a: b}\n  fields: []\n",
        "patches:\n- path: x\n  options: {allowNameChange: true}\n",
        "sortOptions:\n  order: random\n",
        "sortOptions:\n  order: fifo\n  legacySortOptions: {}\n",
    ]));
}

#[test]
fn values_of_another_type() {
    insta::assert_snapshot!(messages(&[
        "images:\n- name: nginx\n  newTag: 1.20\n",
        "resources: cm.yaml\n",
        "commonLabels:\n  n: yes\n",
        "commonLabels: [a]\n",
        "configMapGenerator:\n- name: a\n  options:\n    immutable: \"true\"\n",
        "replicas:\n- name: a\n  count: many\n",
        "",
        "kind: Kustomization\nresources:\n",
        "resources:\n- a\nresources:\n- b\n",
        "resources: [\n",
    ]));
}

#[test]
fn what_is_not_there_or_elsewhere() {
    insta::assert_snapshot!(messages(&[
        "resources:\n- nope.yaml\n",
        "resources:\n- https://example.com/a.yaml\n",
        "resources:\n- github.com/kubernetes-sigs/kustomize//examples?ref=v1\n",
        "resources:\n- other/cm.yaml\n- /etc/hostname\n",
        "resources:\n- empty\n",
        "resources:\n- several\n",
        "resources:\n- round\n",
        "resources:\n- no-kind.yaml\n",
        "resources:\n- no-name.yaml\n",
        "resources:\n- no-yaml.yaml\n",
        "configMapGenerator:\n- name: a\n  files:\n  - ../../../../../../../../../../../etc/hostname\n",
        "patches:\n- path: https://example.com/patch.yaml\n",
    ]));
}

#[test]
fn what_cannot_be_done() {
    insta::assert_snapshot!(messages(&[
        "resources:\n- cm.yaml\n- other\n",
        "resources: [cm.yaml]\nconfigMapGenerator:\n- name: cfg\n",
        "configMapGenerator:\n- name: cfg\n  behavior: merge\n",
        "configMapGenerator:\n- literals: [a=1]\n",
        "configMapGenerator:\n- name: a\n  literals:\n  - a=1\n  - a=2\n",
        "configMapGenerator:\n- name: a\n  literals: [\"1=a\"]\n",
        "configMapGenerator:\n- name: a\n  files: [a=b=c]\n",
        "resources: [cm.yaml]\nnamespace: x\nconfigMapGenerator:\n- name: cfg\n  namespace: other\n",
        "resources: [cm.yaml]\nreplicas:\n- name: cfg\n  count: 1\n",
        "images:\n- name: \"(\"\n",
        "resources: [pod.yaml]\ncommonLabels:\n  a: b\npatches:\n- patch: |\n    apiVersion: v1\n    kind: Pod\n    metadata:\n      name: pod\n    spec: text\n",
    ]));
}

#[test]
fn patches_that_do_not_apply() {
    insta::assert_snapshot!(messages(&[
        "patches:\n- target: {kind: Pod}\n",
        "patches:\n- path: cm.yaml\n  patch: x\n",
        "patches:\n- path: cm.yaml\n",
        "resources: [pod.yaml]\npatches:\n- patch: |\n    - op: remove\n      path: /nope\n  target: {kind: Pod}\n",
        "resources: [pod.yaml]\npatches:\n- patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]'\n",
        "patches:\n- patch: text\n",
        "patches:\n- patch: \"# nothing\"\n",
        "patches:\n- path: cm.yaml\n  target:\n    name: \"(\"\n",
        "patches:\n- path: cm.yaml\n  target:\n    labelSelector: \"a in\"\n",
        "patchesStrategicMerge:\n- nope.yaml\n",
        "patchesJson6902:\n- path: nope.yaml\n  target: {kind: Pod}\n",
        "resources: [pod.yaml]\npatches:\n- patch: |\n    apiVersion: v1\n    kind: Pod\n    metadata:\n      name: pod\n    spec:\n      $patch: bogus\n",
    ]));
}

#[test]
fn a_secret_is_not_shown() {
    let shown = message("secretGenerator:\n- name: a\n  literals:\n  - password=hunter2\n  - hunter2\n");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("a literal is not of the form key=value"), "{shown}");
}

#[test]
fn a_link_that_leads_out_is_refused() {
    let tree = lay_out(&[("kustomization.yaml", "configMapGenerator:\n- name: a\n  files: [link]\n")]);
    symlink("/etc/hostname", tree.path().join("link")).unwrap();
    assert!(message_of(&tree).contains("`link` is not in or below the kustomization's folder"));
}
