//! ValidatingAdmissionPolicies and their bindings (`apiserver/pkg/admission/plugin/policy/validating`).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{Attributes, Objects, Operation};
use crate::custom::cel::types::{ObjectType, Type, escape, of_schema};
use crate::custom::cel::value::{Object, Val, wrap};
use crate::custom::cel::{Budget, CALL_LIMIT, CompileError, Fault, Program, Scope};
use crate::field::{Errors, Path};
use crate::kinds::selector;
use crate::schema::Shape;
use crate::schema::table::builtin;
use crate::status::Refusal;

const GROUP: &str = "admissionregistration.k8s.io";

/// What all expressions of a policy may cost together.
const BUDGET: u64 = 10_000_000;

/// A computed message may be no longer.
const LONGEST_MESSAGE: usize = 5 * 1024;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Asks the policies that are bound; what they only warn of is returned.
pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<String>, Refusal> {
    let mut warnings = Vec::new();
    // Policies have no say about policies and webhooks: nobody could get rid of a bad one.
    let exempt = attributes.group == GROUP;
    let policies = if exempt { Vec::new() } else { objects.list(GROUP, "validatingadmissionpolicies", None) };
    if policies.is_empty() {
        return Ok(warnings);
    }
    let bindings = objects.list(GROUP, "validatingadmissionpolicybindings", None);
    for policy in &policies {
        let name = text(&policy["metadata"], "name");
        let own: Vec<_> = bindings.iter().filter(|b| text(&b["spec"], "policyName") == name).collect();
        if own.is_empty() {
            continue;
        }
        let constraints = &policy["spec"]["matchConstraints"];
        let fails = policy["spec"]["failurePolicy"] != "Ignore";
        match matches(constraints, true, attributes, objects) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(_) if !fails => continue,
            Err(why) => return Err(denial(attributes, name, None, &format!("failed to configure policy: {why}"), "")),
        }
        let param = match param_resource(&policy["spec"]["paramKind"], objects) {
            Ok(param) => param,
            Err(_) if !fails => continue,
            Err(why) => return Err(denial(attributes, name, None, &format!("failed to configure policy: {why}"), "")),
        };
        let compiled = compiled(policy);
        for binding in own {
            let at = text(&binding["metadata"], "name");
            let configuration =
                |why: String| denial(attributes, name, Some(at), &format!("failed to configure binding: {why}"), "");
            let found = matches(&binding["spec"]["matchResources"], false, attributes, objects).and_then(|yes| {
                if yes { params(param.as_ref(), &binding["spec"]["paramRef"], attributes, objects) } else { Ok(Vec::new()) }
            });
            let found = match found {
                Ok(found) => found,
                Err(_) if !fails => continue,
                Err(why) => return Err(configuration(why)),
            };
            for param in found {
                for decision in decide(&compiled, attributes, objects, &param, fails) {
                    for action in list(&binding["spec"], "validationActions").iter().filter_map(Value::as_str) {
                        match action {
                            "Deny" => return Err(denial(attributes, name, Some(at), &decision.message, &decision.reason)),
                            "Warn" => warnings.push(format!(
                                "Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{at}': {}",
                                decision.message
                            )),
                            // There is no audit log.
                            _ => {}
                        }
                    }
                }
            }
        }
    }
    Ok(warnings)
}

fn denial(attributes: &Attributes, policy: &str, binding: Option<&str>, why: &str, reason: &str) -> Refusal {
    let with = binding.map(|name| format!(" with binding '{name}'")).unwrap_or_default();
    let message = format!("ValidatingAdmissionPolicy '{policy}'{with} denied request: {why}");
    let mut refusal = attributes.forbidden(&message);
    (refusal.code, refusal.reason) = match reason {
        "Forbidden" => (403, reason.to_owned()),
        "Unauthorized" => (401, reason.to_owned()),
        "RequestEntityTooLarge" => (413, reason.to_owned()),
        _ => (422, "Invalid".to_owned()),
    };
    if let Some(details) = refusal.details.as_mut() {
        details["causes"] = json!([{"message": message}]);
    }
    refusal
}

/// Whether a request is one that a policy (which must have rules) or a binding (which need not) is about.
fn matches(resources: &Value, need_rules: bool, attributes: &Attributes, objects: &dyn Objects) -> Result<bool, String> {
    let any = |key: &str| list(resources, key).iter().any(|rule| rule_matches(rule, attributes));
    let selects = |selector: &Value, labels: &Value| selector::compile(selector).map(|s| s.matches(labels));
    let namespace = &resources["namespaceSelector"];
    if !namespace.is_null() && namespace != &json!({}) {
        let own = attributes.group.is_empty() && attributes.resource == "namespaces";
        let labels = if own {
            let object = if attributes.object.is_null() { attributes.old.as_ref() } else { &attributes.object };
            Some(object["metadata"]["labels"].clone())
        } else if attributes.namespace.is_empty() {
            None
        } else {
            let found = objects.get("", "namespaces", "", &attributes.namespace);
            let found = found.ok_or_else(|| format!("namespaces \"{}\" not found", attributes.namespace))?;
            Some(found["metadata"]["labels"].clone())
        };
        if let Some(labels) = labels
            && !selects(namespace, &labels)?
        {
            return Ok(false);
        }
    }
    let object = &resources["objectSelector"];
    if !object.is_null() && object != &json!({}) {
        let mut found = false;
        for one in [&attributes.object, attributes.old.as_ref()] {
            found |= !one.is_null() && selects(object, &one["metadata"]["labels"])?;
        }
        if !found {
            return Ok(false);
        }
    }
    if any("excludeResourceRules") {
        return Ok(false);
    }
    Ok(any("resourceRules") || (!need_rules && list(resources, "resourceRules").is_empty()))
}

fn rule_matches(rule: &Value, attributes: &Attributes) -> bool {
    let among = |key: &str, value: &str| list(rule, key).iter().any(|one| one == "*" || one == value);
    let scope = match text(rule, "scope") {
        "Cluster" => attributes.namespace.is_empty() || attributes.is("", "namespaces"),
        "Namespaced" => !attributes.namespace.is_empty() && !attributes.is("", "namespaces"),
        _ => true,
    };
    let names = list(rule, "resourceNames");
    scope
        && among("operations", attributes.operation.wire())
        && among("apiGroups", &attributes.group)
        && among("apiVersions", &attributes.version)
        && list(rule, "resources").iter().filter_map(Value::as_str).any(|one| resource_matches(one, attributes))
        && (names.is_empty() || names.iter().any(|name| *name == attributes.name.as_str()))
}

fn resource_matches(pattern: &str, attributes: &Attributes) -> bool {
    let (resource, subresource) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == attributes.resource) && (subresource == "*" || subresource == attributes.subresource)
}

/// The resource of a policy's parameters.
struct ParamResource {
    group: String,
    resource: String,
    namespaced: bool,
    api_version: String,
    kind: String,
}

fn param_resource(kind: &Value, objects: &dyn Objects) -> Result<Option<ParamResource>, String> {
    if kind.is_null() {
        return Ok(None);
    }
    let (api_version, kind) = (text(kind, "apiVersion"), text(kind, "kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let found = |resource: &str, namespaced: bool| ParamResource {
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespaced,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    };
    let own = builtin().resources().iter().find(|r| r.group == group && r.version == version && r.kind == kind);
    if let Some(resource) = own {
        return Ok(Some(found(&resource.plural, resource.namespaced)));
    }
    for definition in objects.list("apiextensions.k8s.io", "customresourcedefinitions", None) {
        let spec = &definition["spec"];
        let served = list(spec, "versions").iter().any(|v| text(v, "name") == version && v["served"] == true);
        if served && text(spec, "group") == group && text(&spec["names"], "kind") == kind {
            return Ok(Some(found(text(&spec["names"], "plural"), spec["scope"] == "Namespaced")));
        }
    }
    let group = if group.is_empty() { format!("/{version}") } else { api_version.to_owned() };
    Err(format!("failed to find resource referenced by paramKind: '{group}, Kind={kind}'"))
}

/// The parameters that a binding names; null where there are none to be had.
fn params(
    resource: Option<&ParamResource>,
    reference: &Value,
    attributes: &Attributes,
    objects: &dyn Objects,
) -> Result<Vec<Arc<Value>>, String> {
    let Some(resource) = resource.filter(|_| !reference.is_null()) else { return Ok(vec![Arc::new(Value::Null)]) };
    let given = text(reference, "namespace");
    let namespace = match (resource.namespaced, given, attributes.namespace.as_str()) {
        (true, "", "") => {
            return Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned());
        }
        (true, "", own) => own,
        (true, given, _) => given,
        (false, "", _) => "",
        (false, ..) => return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned()),
    };
    let name = text(reference, "name");
    let mut found = if name.is_empty() {
        let selector = selector::compile(&reference["selector"])?;
        let mut all = objects.list(&resource.group, &resource.resource, resource.namespaced.then_some(namespace));
        all.retain(|object| selector.matches(&object["metadata"]["labels"]));
        all
    } else {
        objects.get(&resource.group, &resource.resource, namespace, name).into_iter().collect()
    };
    if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    for param in &mut found {
        let param = Arc::make_mut(param);
        param["apiVersion"] = resource.api_version.clone().into();
        param["kind"] = resource.kind.clone().into();
    }
    Ok(found)
}

/// A policy's expressions, compiled.
#[derive(Debug)]
struct Compiled {
    variables: Vec<(String, Expression)>,
    conditions: Vec<Expression>,
    validations: Vec<Validation>,
}

#[derive(Debug)]
struct Expression {
    source: String,
    program: Result<Program, String>,
}

#[derive(Debug)]
struct Validation {
    expression: Expression,
    message: String,
    computed: Option<Expression>,
    reason: String,
}

/// Policies by uid and generation: compiling is not cheap.
static COMPILED: Mutex<Option<Cache>> = Mutex::new(None);

type Cache = HashMap<(String, i64), Arc<Compiled>>;

/// So many are kept.
const KEPT: usize = 256;

fn compiled(policy: &Value) -> Arc<Compiled> {
    let metadata = &policy["metadata"];
    let key = (text(metadata, "uid").to_owned(), metadata["generation"].as_i64().unwrap_or(0));
    let lock = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().as_ref().and_then(|all| all.get(&key)) {
        return Arc::clone(known);
    }
    let new = Arc::new(compile(&policy["spec"]));
    let mut all = lock();
    let all = all.get_or_insert_default();
    if all.len() >= KEPT {
        all.clear();
    }
    all.insert(key, Arc::clone(&new));
    new
}

fn compile(spec: &Value) -> Compiled {
    let mut types = Types::new(spec);
    let expression = |source: &str, types: &BTreeMap<String, Type>| Expression {
        source: source.trim().to_owned(),
        program: Program::compile(source, types).map_err(|e| e.to_string()),
    };
    let conditions = list(spec, "matchConditions").iter().map(|c| expression(text(c, "expression"), &types.plain)).collect();
    let mut variables = Vec::new();
    for variable in list(spec, "variables") {
        let (name, source) = (text(variable, "name"), text(variable, "expression"));
        let compiled = expression(source, &types.all());
        types.add(name, compiled.program.as_ref().ok());
        variables.push((name.to_owned(), compiled));
    }
    let all = types.all();
    let validations = list(spec, "validations").iter().map(|validation| Validation {
        expression: expression(text(validation, "expression"), &all),
        message: text(validation, "message").trim().to_owned(),
        computed: Some(text(validation, "messageExpression")).filter(|s| !s.is_empty()).map(|s| expression(s, &all)),
        reason: text(validation, "reason").to_owned(),
    });
    Compiled { validations: validations.collect(), variables, conditions }
}

/// What the variables of a policy's expressions are, in the order in which the policy makes them known.
struct Types {
    plain: BTreeMap<String, Type>,
    variables: BTreeMap<String, Type>,
}

impl Types {
    fn new(spec: &Value) -> Self {
        let mut plain = BTreeMap::from([
            ("object".to_owned(), Type::Dyn),
            ("oldObject".to_owned(), Type::Dyn),
            ("request".to_owned(), request_type()),
            ("namespaceObject".to_owned(), namespace_type()),
            ("authorizer".to_owned(), Type::Named("kubernetes.authorization.Authorizer")),
            ("authorizer.requestResource".to_owned(), Type::Named("kubernetes.authorization.ResourceCheck")),
        ]);
        if !spec["paramKind"].is_null() {
            plain.insert("params".to_owned(), Type::Dyn);
        }
        Self { plain, variables: BTreeMap::new() }
    }

    fn add(&mut self, name: &str, program: Option<&Program>) {
        self.variables.insert(name.to_owned(), program.map_or(Type::Dyn, |p| p.ty().clone()));
    }

    fn all(&self) -> BTreeMap<String, Type> {
        let mut all = self.plain.clone();
        let fields = ObjectType { name: "kubernetes.variables".to_owned(), fields: self.variables.clone() };
        all.insert("variables".to_owned(), Type::Object(Arc::new(fields)));
        all
    }
}

fn request_type() -> Type {
    let strings = || Type::list(Type::String);
    let kind = || {
        Type::object("kubernetes.GroupVersionKind", [("group", Type::String), ("version", Type::String), ("kind", Type::String)])
    };
    let resource = || {
        let fields = [("group", Type::String), ("version", Type::String), ("resource", Type::String)];
        Type::object("kubernetes.GroupVersionResource", fields)
    };
    let user = Type::object(
        "kubernetes.UserInfo",
        [("username", Type::String), ("uid", Type::String), ("groups", strings()), ("extra", Type::map(Type::String, strings()))],
    );
    Type::object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", Type::String),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", Type::String),
            ("name", Type::String),
            ("namespace", Type::String),
            ("operation", Type::String),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
}

fn namespace_type() -> Type {
    let labels = || Type::map(Type::String, Type::String);
    let strings = || Type::list(Type::String);
    let metadata = Type::object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", Type::String),
            ("generateName", Type::String),
            ("namespace", Type::String),
            ("labels", labels()),
            ("annotations", labels()),
            ("UID", Type::String),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", Type::String),
            ("finalizers", strings()),
        ],
    );
    let condition = Type::object(
        "kubernetes.NamespaceCondition",
        [
            ("status", Type::String),
            ("type", Type::String),
            ("lastTransitionTime", Type::Timestamp),
            ("message", Type::String),
            ("reason", Type::String),
        ],
    );
    Type::object(
        "kubernetes.Namespace",
        [
            ("metadata", metadata),
            ("spec", Type::object("kubernetes.NamespaceSpec", [("finalizers", strings())])),
            (
                "status",
                Type::object("kubernetes.NamespaceStatus", [("conditions", Type::list(condition)), ("phase", Type::String)]),
            ),
        ],
    )
}

/// A validation that does not hold, or could not be told to.
struct Decision {
    message: String,
    reason: String,
}

fn decide(policy: &Compiled, attributes: &Attributes, objects: &dyn Objects, param: &Value, fails: bool) -> Vec<Decision> {
    let request = request(attributes);
    let namespace = Some(attributes.namespace.as_str())
        .filter(|name| !name.is_empty() && (!attributes.group.is_empty() || attributes.kind != "Namespace"))
        .and_then(|name| objects.get("", "namespaces", "", name))
        .map(|namespace| namespace.as_ref().clone())
        .unwrap_or_default();
    let variables = Variables {
        policy,
        object: &attributes.object,
        old: &attributes.old,
        params: param,
        request: &request,
        namespace: &namespace,
        depth: 0,
    };
    let mut budget = BUDGET;
    let failed = |message: String| if fails { vec![Decision { message, reason: String::new() }] } else { Vec::new() };
    let mut faults = Vec::new();
    for condition in &policy.conditions {
        match run(condition, &variables, &mut budget) {
            Ok(Val::Bool(true)) => {}
            Ok(_) => return Vec::new(),
            Err(why) => faults.push(why),
        }
    }
    if let Some(why) = faults.into_iter().next() {
        return failed(why);
    }
    let mut decisions = Vec::new();
    for validation in &policy.validations {
        match run(&validation.expression, &variables, &mut budget) {
            Ok(Val::Bool(true)) => {}
            Ok(_) => {
                let computed =
                    validation.computed.as_ref().and_then(|expression| match run(expression, &variables, &mut budget) {
                        Ok(Val::String(text)) => Some(text.trim().to_owned()),
                        _ => None,
                    });
                let fit = computed.filter(|m| !m.is_empty() && m.len() <= LONGEST_MESSAGE && !m.contains('\n'));
                let given = Some(validation.message.clone()).filter(|m| !m.is_empty());
                let message = fit.or(given).unwrap_or_else(|| format!("failed expression: {}", validation.expression.source));
                decisions.push(Decision { message, reason: validation.reason.clone() });
            }
            Err(why) => decisions.extend(failed(why)),
        }
    }
    decisions
}

/// Evaluates one expression; the error is a whole sentence.
fn run<'a>(expression: &'a Expression, variables: &Variables<'a>, budget: &mut u64) -> Result<Val<'a>, String> {
    let source = &expression.source;
    let program = expression.program.as_ref().map_err(|why| format!("compilation error: {why}"))?;
    let limit = CALL_LIMIT.min(*budget);
    let mut call = Budget::new(limit);
    let result = program.evaluate(variables, &mut call);
    *budget -= limit - call.left();
    result.map_err(|fault| {
        if fault.exhausted {
            "validation failed due to running out of cost budget, no further validation rules will be run".to_owned()
        } else {
            format!("expression '{source}' resulted in error: {fault}")
        }
    })
}

/// `CreateAdmissionRequest`
fn request(attributes: &Attributes) -> Value {
    let kind_of = builtin_kind(attributes);
    let kind = json!({"group": kind_of.0, "version": kind_of.1, "kind": attributes.kind});
    let resource = json!({"group": attributes.group, "version": attributes.version, "resource": attributes.resource});
    let mut request = json!({
        "kind": kind, "requestKind": kind,
        "resource": resource, "requestResource": resource,
        "operation": attributes.operation.wire(),
        "userInfo": attributes.user.to_json(),
        "dryRun": attributes.dry_run,
        "options": {},
    });
    for (key, value) in [
        ("name", &attributes.name),
        ("namespace", &attributes.namespace),
        ("subResource", &attributes.subresource),
        ("requestSubResource", &attributes.subresource),
    ] {
        if !value.is_empty() {
            request[key] = value.clone().into();
        }
    }
    request
}

/// The group and version of the object, which for subresources may be others than the resource's.
fn builtin_kind(attributes: &Attributes) -> (String, String) {
    let given = if attributes.object.is_null() { attributes.old.as_ref() } else { &attributes.object };
    match given["apiVersion"].as_str().filter(|v| !v.is_empty() && attributes.operation != Operation::Delete) {
        Some(api_version) => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            (group.to_owned(), version.to_owned())
        }
        None => (attributes.group.clone(), attributes.version.clone()),
    }
}

/// What a policy's expressions see. Variables are evaluated when they are asked for.
struct Variables<'a> {
    policy: &'a Compiled,
    object: &'a Value,
    old: &'a Value,
    params: &'a Value,
    request: &'a Value,
    namespace: &'a Value,
    /// How many variables lead here: each may only use those before it.
    depth: usize,
}

/// Marks the place of `variables`; its fields are found by name.
static NO_FIELDS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

impl<'a> Scope<'a> for Variables<'a> {
    fn get(&self, name: &str, budget: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        let plain = |value: &'a Value| Some(wrap(value, None, false));
        match name {
            "object" => plain(self.object),
            "oldObject" => plain(self.old),
            "params" => plain(self.params),
            "request" => plain(self.request),
            "namespaceObject" => plain(self.namespace),
            "variables" => Some(Ok(Val::Object(Object { fields: &NO_FIELDS, schema: None, resource: false }))),
            "authorizer" | "authorizer.requestResource" => Some(Err(Fault::new("the authorizer is not emulated"))),
            _ => self.variable(name.strip_prefix("variables.")?, budget),
        }
    }
}

impl<'a> Variables<'a> {
    fn variable(&self, name: &str, budget: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        let policy = self.policy;
        let (_, expression) = policy.variables.iter().find(|(own, _)| own == name)?;
        let failed = |why: &dyn std::fmt::Display| Fault::new(format!("composited variable \"{name}\" fails to evaluate: {why}"));
        if self.depth > policy.variables.len() {
            return Some(Err(failed(&"it depends on itself")));
        }
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Some(Err(failed(why))),
        };
        let below = Self { depth: self.depth + 1, ..*self };
        Some(program.evaluate(&below, budget).map_err(|fault| if fault.exhausted { fault } else { failed(&fault) }))
    }
}

/// The errors of a policy's expressions, for its validation.
pub(crate) fn check(policy: &Value, errors: &mut Errors) {
    let (spec, at) = (&policy["spec"], Path::new("spec"));
    let mut types = Types::new(spec);
    for (i, condition) in list(spec, "matchConditions").iter().enumerate() {
        let at = at.child("matchConditions").index(i).child("expression");
        check_one(text(condition, "expression"), &types.plain, &[Type::Bool], &at, errors);
    }
    for (i, variable) in list(spec, "variables").iter().enumerate() {
        let at = at.child("variables").index(i).child("expression");
        let program = check_one(text(variable, "expression"), &types.all(), &[], &at, errors);
        types.add(text(variable, "name"), program.as_ref());
    }
    let all = types.all();
    for (i, validation) in list(spec, "validations").iter().enumerate() {
        let at = at.child("validations").index(i);
        check_one(text(validation, "expression"), &all, &[Type::Bool], &at.child("expression"), errors);
        check_one(text(validation, "messageExpression"), &all, &[Type::String], &at.child("messageExpression"), errors);
    }
    for (i, annotation) in list(spec, "auditAnnotations").iter().enumerate() {
        let at = at.child("auditAnnotations").index(i).child("valueExpression");
        check_one(text(annotation, "valueExpression"), &all, &[Type::String, Type::Null], &at, errors);
    }
}

fn check_one(source: &str, types: &BTreeMap<String, Type>, wanted: &[Type], at: &Path, errors: &mut Errors) -> Option<Program> {
    if source.trim().is_empty() {
        return None;
    }
    match Program::compile(source, types) {
        Err(why @ CompileError::Compilation(_)) => errors.invalid(at, source, &why.to_string()),
        Err(why @ CompileError::Instantiation(_)) => errors.invalid(at, source, &format!("program {why}")),
        Ok(program) if program.uses("authorizer") || program.uses("authorizer.requestResource") => {
            errors.forbidden(at, "the variable authorizer is not emulated");
        }
        Ok(program) if wanted.is_empty() || wanted.contains(program.ty()) => return Some(program),
        Ok(program) => {
            let ty = program.ty();
            let name = |ty: &Type| if *ty == Type::Null { "null_type".to_owned() } else { ty.to_string() };
            let why = match wanted {
                [one] => format!("must evaluate to {} but got {}", name(one), name(ty)),
                many => format!(
                    "must evaluate to one of [{}] but got {}",
                    many.iter().map(name).collect::<Vec<_>>().join(" "),
                    name(ty)
                ),
            };
            errors.invalid(at, source, &why);
        }
    }
    None
}

/// The status that the controller of policies writes after each change of a spec; nothing if it is there already.
pub(crate) fn status(policy: &Value, objects: &dyn Objects) -> Option<Value> {
    let generation = &policy["metadata"]["generation"];
    if policy["status"]["observedGeneration"] == *generation {
        return None;
    }
    let warnings = type_warnings(&policy["spec"], objects);
    let checking = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    Some(json!({"observedGeneration": generation, "typeChecking": checking}))
}

/// So many types of objects are tried with a policy's expressions.
const TYPES_TRIED: usize = 10;

/// What would be wrong with validations for objects of the types that the policy is about (`typechecking.go`).
fn type_warnings(spec: &Value, objects: &dyn Objects) -> Vec<Value> {
    let kinds = kinds_of(spec, objects);
    let (group, version) = split(text(&spec["paramKind"], "apiVersion"));
    let params = type_of(group, version, text(&spec["paramKind"], "kind"), objects);
    let mut warnings = Vec::new();
    for (i, validation) in list(spec, "validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = text(validation, field);
            if source.is_empty() {
                continue;
            }
            let texts = kinds.iter().filter_map(|(group, version, kind, ty)| {
                match Program::compile(source, &typed(spec, ty, params.as_ref())) {
                    Ok(_) => None,
                    Err(CompileError::Compilation(why) | CompileError::Instantiation(why)) => {
                        Some(format!("{group}/{version}, Kind={kind}: {why}\n"))
                    }
                }
            });
            let texts: Vec<_> = texts.collect();
            if !texts.is_empty() {
                warnings.push(json!({"fieldRef": format!("spec.validations[{i}].{field}"), "warning": texts.join("\n")}));
            }
        }
    }
    warnings
}

/// The variables of a policy's expressions, with the types of objects and parameters known.
fn typed(spec: &Value, object: &Type, params: Option<&Type>) -> BTreeMap<String, Type> {
    let mut types = Types::new(spec);
    types.plain.insert("object".to_owned(), object.clone());
    types.plain.insert("oldObject".to_owned(), object.clone());
    if let Some(params) = params {
        types.plain.insert("params".to_owned(), params.clone());
    }
    for variable in list(spec, "variables") {
        let program = Program::compile(text(variable, "expression"), &types.all()).ok();
        types.add(text(variable, "name"), program.as_ref());
    }
    types.all()
}

fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The kinds that a policy names without wildcards, in order, with their types.
fn kinds_of(spec: &Value, objects: &dyn Objects) -> Vec<(String, String, String, Type)> {
    let mut found = BTreeMap::new();
    for rule in list(&spec["matchConstraints"], "resourceRules") {
        let texts = |key: &str| list(rule, key).iter().filter_map(Value::as_str).collect::<Vec<_>>();
        let (groups, versions, resources) = (texts("apiGroups"), texts("apiVersions"), texts("resources"));
        if groups.iter().chain(&versions).any(|one| one.contains('*')) {
            continue;
        }
        for group in groups {
            for version in &versions {
                for resource in resources.iter().filter(|r| !r.contains(['*', '/'])) {
                    let Some(kind) = kind_of(group, version, resource, objects) else { continue };
                    if let Some(ty) = type_of(group, version, &kind, objects).filter(|_| found.len() < TYPES_TRIED) {
                        found.insert((group.to_owned(), (*version).to_owned(), kind), ty);
                    }
                }
            }
        }
    }
    found.into_iter().map(|((group, version, kind), ty)| (group, version, kind, ty)).collect()
}

fn kind_of(group: &str, version: &str, resource: &str, objects: &dyn Objects) -> Option<String> {
    let own = builtin().resources().iter().find(|r| r.group == group && r.version == version && r.plural == resource);
    if let Some(own) = own {
        return Some(own.kind.clone());
    }
    let definition = objects.get("apiextensions.k8s.io", "customresourcedefinitions", "", &format!("{resource}.{group}"))?;
    Some(text(&definition["spec"]["names"], "kind").to_owned())
}

fn type_of(group: &str, version: &str, kind: &str, objects: &dyn Objects) -> Option<Type> {
    if let Some(ty) = builtin().type_of(group, version, kind) {
        return of_builtin(ty, kind, 0);
    }
    for definition in objects.list("apiextensions.k8s.io", "customresourcedefinitions", None) {
        let spec = &definition["spec"];
        if text(spec, "group") == group && text(&spec["names"], "kind") == kind {
            let version = list(spec, "versions").iter().find(|v| text(v, "name") == version)?;
            let schema = crate::custom::Schema::parse(&version["schema"]["openAPIV3Schema"]);
            return of_schema(&schema, true, kind);
        }
    }
    None
}

/// How deep built-in types are looked into; a few of them contain themselves.
const DEEPEST: usize = 12;

fn of_builtin(ty: crate::schema::Type<'_>, name: &str, depth: usize) -> Option<Type> {
    if depth > DEEPEST {
        return Some(Type::Dyn);
    }
    let below = |ty: crate::schema::Type<'_>, name: &str| of_builtin(ty, name, depth + 1);
    Some(match ty.shape() {
        Shape::Object => {
            let fields = ty.fields().filter_map(|(key, ty)| Some((escape(key)?, below(ty, &format!("{name}.{key}"))?)));
            Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields: fields.collect() }))
        }
        Shape::Map => Type::map(Type::String, below(ty.values()?, name)?),
        Shape::List => Type::list(below(ty.items()?, name)?),
        Shape::String => match ty.format() {
            Some("byte") => Type::Bytes,
            Some("date-time") => Type::Timestamp,
            _ => Type::String,
        },
        Shape::Integer => Type::Int,
        Shape::Number => Type::Double,
        Shape::Boolean => Type::Bool,
        Shape::IntOrString => Type::Dyn,
        Shape::Any => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::User;

    struct Cluster(Vec<(&'static str, Value)>);

    impl Objects for Cluster {
        fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
            let all = self.list(group, resource, None);
            all.into_iter().find(|o| text(&o["metadata"], "name") == name && text(&o["metadata"], "namespace") == namespace)
        }

        fn list(&self, _: &str, resource: &str, _: Option<&str>) -> Vec<Arc<Value>> {
            self.0.iter().filter(|(r, _)| *r == resource).map(|(_, o)| Arc::new(o.clone())).collect()
        }
    }

    /// The answer for a ConfigMap with that data under a policy with that spec, bound with what `binding` adds.
    fn ask(spec: Value, binding: Value, name: &str, data: Value) -> Result<Vec<String>, Refusal> {
        let mut policy = json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]}}});
        policy["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        policy["metadata"]["uid"] = policy["spec"].to_string().into();
        let mut bound = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"pol": "yes"}}}}});
        bound["spec"].as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
        let cluster = Cluster(vec![
            ("validatingadmissionpolicies", policy),
            ("validatingadmissionpolicybindings", bound),
            ("namespaces", json!({"metadata": {"name": "ns", "labels": {"pol": "yes"}}})),
            ("configmaps", json!({"metadata": {"name": "param", "namespace": "ns"}, "data": {"max": "3"}})),
        ]);
        let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}});
        if !data.is_null() {
            object["data"] = data;
        }
        let attributes = Attributes {
            group: String::new(),
            version: "v1".to_owned(),
            resource: "configmaps".to_owned(),
            subresource: String::new(),
            kind: "ConfigMap".to_owned(),
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            operation: Operation::Create,
            user: User::new("system:admin", &[]),
            object,
            old: Arc::default(),
            dry_run: true,
        };
        validate(&attributes, &cluster)
    }

    fn message(spec: Value, binding: Value, data: Value) -> String {
        let refusal = ask(spec, binding, "x", data).unwrap_err();
        let prefix = "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ";
        refusal.message.strip_prefix(prefix).unwrap_or(&refusal.message).to_owned()
    }

    #[test]
    fn policies_refuse_as_the_api_server_does() {
        let rules = json!({"validations": [
            {"expression": "object.data.v != 'bad'"},
            {"expression": "object.data.v != 'bad2'", "message": "no bad2", "reason": "Forbidden"},
            {"expression": "object.data.v != 'bad3'", "messageExpression":
                "'got ' + object.data.v + ' in ' + namespaceObject.metadata.name + ' by ' + request.userInfo.username + ' ' + request.operation + ' ' + request.resource.resource"},
        ]});
        let none = json!({});
        let refusal = ask(rules.clone(), none.clone(), "x", json!({"v": "bad"})).unwrap_err();
        let why = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.v != 'bad'";
        assert_eq!(
            refusal.to_json(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("configmaps \"x\" is forbidden: {why}"), "reason": "Invalid",
            "details": {"name": "x", "kind": "configmaps", "causes": [{"message": why}]}, "code": 422})
        );
        assert_eq!(ask(rules.clone(), none.clone(), "x", json!({"v": "bad2"})).unwrap_err().code, 403);
        assert_eq!(
            message(rules.clone(), none.clone(), json!({"v": "bad3"})),
            "got bad3 in ns by system:admin CREATE configmaps"
        );
        assert_eq!(ask(rules.clone(), none.clone(), "x", json!({"v": "ok"})), Ok(Vec::new()));
        let missing = "expression 'object.data.v != 'bad'' resulted in error: no such key: data";
        assert_eq!(message(rules.clone(), none.clone(), Value::Null), missing);
        let warned = ask(rules.clone(), json!({"validationActions": ["Warn", "Audit"]}), "x", json!({"v": "bad"})).unwrap();
        let text =
            "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: object.data.v != 'bad'";
        assert_eq!(warned, [text]);
        let mut lenient = rules;
        lenient["failurePolicy"] = "Ignore".into();
        assert_eq!(ask(lenient, none, "x", Value::Null), Ok(Vec::new()));
    }

    #[test]
    fn policies_have_parameters_and_variables() {
        let spec = json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "variables": [{"name": "n", "expression": "int(object.data.n)"}],
            "matchConditions": [{"name": "skip", "expression": "object.metadata.name != 'skip'"}],
            "validations": [{"expression": "variables.n <= int(params.data.max)", "messageExpression": "'n is ' + string(variables.n)"}],
        });
        let param = json!({"paramRef": {"name": "param", "namespace": "ns", "parameterNotFoundAction": "Deny"}});
        assert_eq!(message(spec.clone(), param.clone(), json!({"n": "4"})), "n is 4");
        assert_eq!(ask(spec.clone(), param.clone(), "x", json!({"n": "2"})), Ok(Vec::new()));
        assert_eq!(ask(spec.clone(), param.clone(), "skip", json!({"n": "9"})), Ok(Vec::new()));
        assert_eq!(
            message(spec.clone(), param, json!({"n": "x"})),
            "expression 'variables.n <= int(params.data.max)' resulted in error: composited variable \"n\" fails to evaluate: type conversion error from 'string' to 'int'"
        );
        let absent = json!({"paramRef": {"name": "none", "namespace": "ns", "parameterNotFoundAction": "Deny"}});
        assert_eq!(
            message(spec.clone(), absent, json!({"n": "4"})),
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        );
        let absent = json!({"paramRef": {"name": "none", "namespace": "ns", "parameterNotFoundAction": "Allow"}});
        assert_eq!(ask(spec, absent.clone(), "x", json!({"n": "4"})), Ok(Vec::new()));
        let unknown =
            json!({"paramKind": {"apiVersion": "foo.test/v1", "kind": "Foo"}, "validations": [{"expression": "false"}]});
        let refusal = ask(unknown, absent, "x", json!({})).unwrap_err();
        assert_eq!(
            refusal.message,
            "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'foo.test/v1, Kind=Foo'"
        );
    }

    #[test]
    fn types_are_checked_once_policies_are_there() {
        let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
        let mut policy = json!({"metadata": {"generation": 1}, "spec": {"matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "object.zz.x == 1"}, {"expression": "object.data.x == 'a' && object.metadata.name != ''"}]}});
        let status = status(&policy, &Cluster(Vec::new())).unwrap();
        assert_eq!(
            status,
            json!({"observedGeneration": 1, "typeChecking": {"expressionWarnings": [{
            "fieldRef": "spec.validations[0].expression",
            "warning": "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'zz'\n | object.zz.x == 1\n | ......^\n"}]}})
        );
        policy["status"] = status;
        assert_eq!(super::status(&policy, &Cluster(Vec::new())), None);
    }

    #[test]
    fn policies_are_checked() {
        for (spec, expected) in [
            (
                json!({"validations": [{"expression": "1"}]}),
                "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
            ),
            (
                json!({"validations": [{"expression": "true", "messageExpression": "object.metadata.name"}]}),
                "spec.validations[0].messageExpression: Invalid value: \"object.metadata.name\": must evaluate to string but got dyn",
            ),
            (
                json!({"variables": [{"name": "a", "expression": "1"}], "validations": [{"expression": "variables.b == 1"}]}),
                "spec.validations[0].expression: Invalid value: \"variables.b == 1\": compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b == 1\n | .........^",
            ),
            (
                json!({"validations": [{"expression": "request.foo == 1"}]}),
                "spec.validations[0].expression: Invalid value: \"request.foo == 1\": compilation failed: ERROR: <input>:1:8: undefined field 'foo'\n | request.foo == 1\n | .......^",
            ),
            (
                json!({"auditAnnotations": [{"key": "a", "valueExpression": "1"}]}),
                "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but got int",
            ),
            (
                json!({"variables": [{"name": "a", "expression": "zzz"}], "validations": [{"expression": "variables.a"}]}),
                "[spec.variables[0].expression: Invalid value: \"zzz\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'zzz' (in container '')\n | zzz\n | ^, spec.validations[0].expression: Invalid value: \"variables.a\": must evaluate to bool but got dyn]",
            ),
        ] {
            let mut errors = Errors::new();
            check(&json!({"spec": spec}), &mut errors);
            assert_eq!(errors.aggregate().as_deref(), Some(expected));
        }
    }
}
