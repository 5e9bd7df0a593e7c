//! Kustomize's rendering of a launcher's tree, for where there is no `kubectl`.
//!
//! What a launcher's tree uses is here: resources and bases, generators with the suffix of their content, images, namespace,
//! prefix and suffix, labels and annotations, replicas, patches. Anything else is refused with its place in its file,
//! since a tree that is rendered but for one part of it is worse than one that is not. What is rendered is what
//! `kubectl kustomize` prints, byte for byte; the tests hold it against recordings (`testdata`) and, where there is a
//! `kubectl`, against that, tree by generated tree.
//!
//! The way of a kustomization is that of `api/internal/target/kusttarget.go`: accumulate resources, run generators, then
//! transformers in their fixed order; the root's adds hashes and updates references.

mod file;
mod files;
mod generate;
mod hash;
mod load;
mod merge;
mod node;
mod order;
mod patch;
mod path;
mod references;
mod resource;
mod schema;
mod specs;
mod time;
mod transform;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use k3s_arc_emulator::schema::to_yaml;

use self::{
    file::{Behavior, Generator, Kustomization, Label},
    files::Folder,
    generate::Made,
    resource::Resource,
};
use super::input::{InputError, Source};

/// What a kustomization renders to: the YAML that `kubectl kustomize` prints of a folder. `shown` tells the name that a
/// file of the tree has in messages.
///
/// # Errors
/// [`InputError::Invalid`], at the place in the kustomization that asks for what cannot be done.
pub(super) fn build(folder: &Path, shown: &dyn Fn(&Path) -> PathBuf) -> Result<String, InputError> {
    let target = Folder::new(folder).and_then(|folder| Ok((folder.kustomization()?, folder)));
    let (file, folder) = target.map_err(|message| nowhere(&shown(folder), &message))?;
    let target = Target::read(folder, &file, shown)?;
    let mut resources = target.resources()?;
    let whole = |message: String| target.refused(&(0..0), message);

    for resource in resources.iter_mut().filter(|resource| resource.needs_hash()) {
        let suffix = hash::suffix(resource).map_err(whole)?;
        resource.remember();
        let name = format!("{}-{suffix}", resource.name());
        resource.set_name(&name);
    }
    references::update(&mut resources).map_err(whole)?;
    resources.retain(|resource| !resource.is_local());
    order::sort(&mut resources, target.kustomization.sort.as_ref().map(|sort| &sort.value));
    let mut documents = Vec::new();
    for mut resource in resources {
        resource.finish();
        documents.push(to_yaml(&resource.node.to_json().map_err(whole)?));
    }
    Ok(documents.join("---\n"))
}

/// An error that is at no place in a file.
fn nowhere(path: &Path, message: &str) -> InputError {
    let source = Source::new(&path.display().to_string(), "");
    InputError::Invalid { problems: vec![source.missing(format!("{}: {message}", path.display()), HELP)] }
}

const HELP: &str = "`kubectl kustomize` of the same folder says more";

/// One folder's kustomization.
struct Target<'a> {
    folder: Folder,
    kustomization: Kustomization,
    source: Source,
    shown: &'a dyn Fn(&Path) -> PathBuf,
}

impl<'a> Target<'a> {
    fn read(folder: Folder, file: &Path, shown: &'a dyn Fn(&Path) -> PathBuf) -> Result<Self, InputError> {
        let name = shown(file);
        let text = std::fs::read_to_string(file).map_err(|source| InputError::Unreadable { path: name.clone(), source })?;
        let (kustomization, source) = Kustomization::read(&name.display().to_string(), &text)?;
        Ok(Self { folder, kustomization, source, shown })
    }

    fn refused(&self, at: &Range<usize>, message: String) -> InputError {
        let problem = if at.is_empty() {
            self.source.missing(format!("{}: {message}", self.source.name()), HELP)
        } else {
            self.source.error(message, self.source.first_line(at), "asked for here", HELP)
        };
        InputError::Invalid { problems: vec![problem] }
    }

    /// The objects, but for what is done to those of the whole tree.
    fn resources(&self) -> Result<Vec<Resource>, InputError> {
        let mut resources = Vec::new();
        for entry in &self.kustomization.resources {
            let added = self.accumulate(&entry.value, &entry.at)?;
            for resource in added {
                add(&mut resources, resource).map_err(|message| self.refused(&entry.at, message))?;
            }
        }
        let made = [(Made::ConfigMap, &self.kustomization.config_maps), (Made::Secret, &self.kustomization.secrets)];
        for (made, generator) in made.into_iter().flat_map(|(made, all)| all.iter().map(move |one| (made, one))) {
            self.generate(made, &generator.value, &mut resources).map_err(|error| {
                let at = if error.at.is_empty() { &generator.at } else { &error.at };
                self.refused(at, error.value)
            })?;
        }
        self.transform(&mut resources)?;
        Ok(resources)
    }

    /// What a file holds, or what another folder renders to.
    fn accumulate(&self, entry: &str, at: &Range<usize>) -> Result<Vec<Resource>, InputError> {
        let refused = |message: String| self.refused(at, message);
        if self.folder.has_file(entry) {
            let text = self.folder.read_text(entry).map_err(refused)?;
            return resource::parse(&text).map_err(|error| {
                let file = (self.shown)(&self.folder.path(entry));
                self.refused(at, format!("{}: {error}", file.display()))
            });
        }
        let folder = self.folder.below(entry).map_err(refused)?;
        let file =
            folder.kustomization().map_err(|message| self.refused(at, format!("`{entry}` is no kustomization: {message}")))?;
        Target::read(folder, &file, self.shown)?.resources()
    }

    fn generate(&self, made: Made, generator: &Generator, resources: &mut Vec<Resource>) -> Result<(), file::At<String>> {
        let mut new = generate::generate(made, generator, &self.kustomization.generator_options, &self.folder)?;
        let fail = |value: String| file::At { value, at: 0..0 };
        let id = new.id();
        let found: Vec<usize> = (0..resources.len()).filter(|index| resources[*index].was(&id)).collect();
        match (found.as_slice(), generator.behavior) {
            ([], Behavior::Create) => resources.push(new),
            ([], _) => return Err(fail(format!("there is no {id} to be merged with or replaced"))),
            ([_], Behavior::Create) => {
                return Err(fail(format!("there is a {id} already: the behavior must be merge or replace")));
            }
            ([index], behavior) => {
                let old = &resources[*index];
                new.take_metadata_of(old);
                if behavior == Behavior::Merge {
                    generate::merge_data(&mut new, old);
                }
                resources[*index] = new;
            }
            _ => return Err(fail(format!("there are several {id} that it could be merged with"))),
        }
        Ok(())
    }

    /// In the order that Kustomize has for its transformers, not in that of the file.
    fn transform(&self, resources: &mut Vec<Resource>) -> Result<(), InputError> {
        let asked = &self.kustomization;
        for patch in &asked.strategic_patches {
            self.done(&patch.at, patch::apply_strategic(resources, &patch.value, &self.folder))?;
        }
        for patch in &asked.patches {
            self.done(&patch::place(patch), patch::apply(resources, &patch.value, &self.folder))?;
        }
        let named = |field: &file::At<String>, act: &mut dyn FnMut(&str) -> Result<(), String>| {
            if field.value.is_empty() { Ok(()) } else { self.done(&field.at, act(&field.value)) }
        };
        named(&asked.namespace, &mut |namespace| transform::set_namespace(resources, namespace))?;
        named(&asked.name_prefix, &mut |prefix| transform::add_prefix(resources, prefix))?;
        named(&asked.name_suffix, &mut |suffix| transform::add_suffix(resources, suffix))?;
        for label in &asked.labels {
            self.done(&label.at, transform::add_labels(resources, &label.value))?;
        }
        let common = Label { pairs: asked.common_labels.value.clone(), include_selectors: true, include_templates: true };
        self.done(&asked.common_labels.at, transform::add_labels(resources, &common))?;
        let annotations = &asked.common_annotations;
        self.done(&annotations.at, transform::add_annotations(resources, &annotations.value))?;
        for patch in &asked.json_patches {
            self.done(&patch::place(patch), patch::apply_json(resources, &patch.value, &self.folder))?;
        }
        for replica in &asked.replicas {
            self.done(&replica.at, transform::set_replicas(resources, &replica.value))?;
        }
        for image in &asked.images {
            self.done(&image.at, transform::set_image(resources, &image.value))?;
        }
        Ok(())
    }

    fn done(&self, at: &Range<usize>, outcome: Result<(), String>) -> Result<(), InputError> {
        outcome.map_err(|message| self.refused(at, message))
    }
}

fn add(resources: &mut Vec<Resource>, resource: Resource) -> Result<(), String> {
    let id = resource.id();
    if resources.iter().any(|other| other.id() == id) {
        return Err(format!("there is a {id} already"));
    }
    resources.push(resource);
    Ok(())
}

#[cfg(test)]
mod tests;
