//! The other custom resources of Arc data services.
//!
//! The stand-in serves their types, so that objects of them can be created, listed and cleaned up; nothing
//! reconciles them, and their specs stay open. Versions are the newest that the release notes of Azure Arc's
//! test releases name ("Azure Arc data services: preview releases", versions 1.25 to 1.29).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    CustomResourceDefinitionVersion, CustomResourceSubresourceStatus, CustomResourceSubresources, CustomResourceValidation,
    JSONSchemaProps,
};
use kube::{
    api::ObjectMeta,
    core::{ApiResource, GroupVersionKind},
};

/// A kind of custom resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kin {
    /// Its API group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its plural; the singular is the kind in lower case.
    pub plural: &'static str,
    /// Short for it on the command line.
    pub short_names: &'static [&'static str],
}

/// What the data services proper are: databases with their managed state.
pub const SQL_MANAGED_INSTANCE: Kin = Kin {
    group: "sql.arcdata.microsoft.com",
    version: "v13",
    kind: "SqlManagedInstance",
    plural: "sqlmanagedinstances",
    short_names: &["sqlmi"],
};

/// Every custom resource beside the DataController.
pub const KIN: [Kin; 11] = [
    kin("arcdata.microsoft.com", "v2", "ActiveDirectoryConnector", "activedirectoryconnectors"),
    kin("arcdata.microsoft.com", "v1beta4", "Kafka", "kafkas"),
    kin("arcdata.microsoft.com", "v3", "Monitor", "monitors"),
    kin("arcdata.microsoft.com", "v1beta6", "PostgreSql", "postgresqls"),
    kin("arcdata.microsoft.com", "v1beta5", "TelemetryCollector", "telemetrycollectors"),
    kin("arcdata.microsoft.com", "v1beta5", "TelemetryRouter", "telemetryrouters"),
    kin("sql.arcdata.microsoft.com", "v2", "FailoverGroup", "failovergroups"),
    SQL_MANAGED_INSTANCE,
    kin("tasks.arcdata.microsoft.com", "v2", "ExportTask", "exporttasks"),
    kin("tasks.postgresql.arcdata.microsoft.com", "v1beta1", "PostgreSqlRestoreTask", "postgresqlrestoretasks"),
    kin("tasks.sql.arcdata.microsoft.com", "v1", "SqlManagedInstanceRestoreTask", "sqlmanagedinstancerestoretasks"),
];

const fn kin(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kin {
    Kin { group, version, kind, plural, short_names: &[] }
}

impl Kin {
    /// For use with kube's dynamic API.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }

    /// Its definition: namespaced, status a subresource, `.status.state` a printer column.
    pub fn crd(&self) -> CustomResourceDefinition {
        let open = JSONSchemaProps {
            type_: Some("object".into()),
            x_kubernetes_preserve_unknown_fields: Some(true),
            ..Default::default()
        };
        let schema = JSONSchemaProps {
            type_: Some("object".into()),
            properties: Some([("spec".to_owned(), open.clone()), ("status".to_owned(), open)].into()),
            ..Default::default()
        };
        CustomResourceDefinition {
            metadata: ObjectMeta { name: Some(format!("{}.{}", self.plural, self.group)), ..Default::default() },
            spec: CustomResourceDefinitionSpec {
                group: self.group.into(),
                scope: "Namespaced".into(),
                names: CustomResourceDefinitionNames {
                    kind: self.kind.into(),
                    plural: self.plural.into(),
                    singular: Some(self.kind.to_lowercase()),
                    short_names: Some(self.short_names.iter().map(|&name| name.into()).collect()),
                    ..Default::default()
                },
                versions: vec![CustomResourceDefinitionVersion {
                    name: self.version.into(),
                    served: true,
                    storage: true,
                    schema: Some(CustomResourceValidation { open_api_v3_schema: Some(schema) }),
                    subresources: Some(CustomResourceSubresources {
                        status: Some(CustomResourceSubresourceStatus(serde_json::json!({}))),
                        scale: None,
                    }),
                    additional_printer_columns: Some(vec![CustomResourceColumnDefinition {
                        name: "State".into(),
                        type_: "string".into(),
                        json_path: ".status.state".into(),
                        ..Default::default()
                    }]),
                    ..Default::default()
                }],
                ..Default::default()
            },
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::arc::GROUP_SUFFIX;

    #[test]
    fn definitions_are_named_by_plural_and_group() {
        assert_eq!(SQL_MANAGED_INSTANCE.crd().metadata.name.unwrap(), "sqlmanagedinstances.sql.arcdata.microsoft.com");
        let names: BTreeSet<_> = KIN.iter().map(|kin| kin.crd().metadata.name.unwrap()).collect();
        assert_eq!(names.len(), KIN.len());
    }

    #[test]
    fn every_group_is_arcs() {
        for kin in KIN {
            assert!(kin.group.ends_with(GROUP_SUFFIX), "{}", kin.group);
        }
    }
}
