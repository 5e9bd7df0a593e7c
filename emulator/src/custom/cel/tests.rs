use serde_json::json;

use super::value::wrap;
use super::*;
use crate::custom::schema::Schema;

struct Own<'a>(Val<'a>);

impl<'a> Scope<'a> for Own<'a> {
    fn get(&self, name: &str, _: &mut Budget) -> Option<Result<Val<'a>, Fault>> {
        (name == "self").then(|| Ok(self.0.clone()))
    }
}

fn schema() -> Schema {
    Schema::parse(&json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "f": {"type": "number"}, "s": {"type": "string"}, "b": {"type": "boolean"},
        "l": {"type": "array", "items": {"type": "integer"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "o": {"type": "object", "properties": {"x": {"type": "string"}, "a.b": {"type": "string"}, "in": {"type": "string"}}},
        "ios": {"x-kubernetes-int-or-string": true},
        "t": {"type": "string", "format": "date-time"}, "d": {"type": "string", "format": "duration"},
    }}))
}

fn object() -> serde_json::Value {
    json!({"n": 3, "f": 2, "s": "abc", "b": true, "l": [1, 2, 3], "set": ["a", "b"], "m": {"k": "v"},
        "o": {"x": "y", "a.b": "c", "in": "z"}, "ios": "50%", "t": "2024-01-02T03:04:05Z", "d": "1h30m"})
}

fn run(source: &str) -> Result<String, String> {
    let (schema, object) = (schema(), object());
    let ty = types::of_schema(&schema, false, "object").unwrap();
    let program = Program::compile(source, &BTreeMap::from([("self".to_owned(), ty)])).map_err(|e| e.to_string())?;
    let scope = Own(wrap(&object, Some(&schema), false).unwrap());
    let value = program.evaluate(&scope, &mut Budget::new(CALL_LIMIT)).map_err(|f| f.message)?;
    Ok(strings::plain(&value))
}

#[test]
fn expressions_have_values() {
    for (source, expected) in [
        ("self.n + 1", "4"),
        ("self.f / 4.0", "0.5"),
        ("self.l.all(x, x > 0) && self.l.exists(x, x == 3)", "true"),
        ("self.l.map(x, x * 2)", "[2, 4, 6]"),
        ("self.l.map(x, x > 1, x * 2)", "[4, 6]"),
        ("self.l.filter(x, x > 1).size()", "2"),
        ("self.l.exists_one(x, x == 1)", "true"),
        ("self.l.all(i, v, v == i + 1)", "true"),
        ("self.l.transformList(i, v, i * v)", "[0, 2, 6]"),
        ("self.m.transformMap(k, v, v + k)", "{k: vk}"),
        ("self.m.all(k, k == 'k')", "true"),
        ("'k' in self.m && self.m['k'] == 'v' && self.m.k == 'v'", "true"),
        ("has(self.o.x) && !has(self.m.q)", "true"),
        ("self.o.a__dot__b + self.o.__in__", "cz"),
        ("self.set == ['b', 'a']", "true"),
        ("self.set + ['b', 'c']", "[a, b, c]"),
        ("type(self.ios) == string ? self.ios == '50%' : self.ios == 50", "true"),
        ("self.t.getFullYear()", "2024"),
        ("self.d == duration('90m')", "true"),
        ("self.t + self.d", "2024-01-02T04:34:05Z"),
        ("self.?o.?x.orValue('none')", "y"),
        ("self.m[?'q'].orValue('none')", "none"),
        ("[1, 2, 3].sum()", "6"),
        ("[3, 1, 2].max() - [3, 1, 2].min()", "2"),
        ("['a', 'b'].isSorted()", "true"),
        ("'a-b'.split('-').join('+')", "a+b"),
        ("'hello'.substring(1, 3) + 'X'.lowerAscii()", "elx"),
        ("'%s has %d of %.2f'.format(['x', 3, 1.5])", "x has 3 of 1.50"),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'a1b2'.findAll('[0-9]')", "[1, 2]"),
        ("url('https://h:80/p?q=1').getHost()", "h:80"),
        ("isURL('nope')", "false"),
        ("ip('10.0.0.1').family()", "4"),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"),
        ("quantity('1Gi').isGreaterThan(quantity('500Mi'))", "true"),
        ("quantity('1k').asInteger()", "1000"),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", "true"),
        ("sets.contains([1, 2], [1])", "true"),
        ("!format.dns1123Label().validate('ok').hasValue()", "true"),
        ("format.named('uuid').value().validate('x').value()[0]", "does not match the UUID format"),
        ("optional.of(1).optMap(x, x + 1).value()", "2"),
        ("1 == 1.0 || true", "E:found no matching overload for '_==_' applied to '(int, double)'"),
        ("false && 1 / 0 == 1", "false"),
        ("true || 1 / 0 == 1", "true"),
        ("1 < 1.5", "true"),
        ("string(self.n) + string(true)", "3true"),
        ("int('12') + 1", "13"),
        ("[1, 2][5]", "E:index out of bounds: 5"),
        ("self.m['q']", "E:no such key: q"),
        ("1 / 0", "E:division by zero"),
        ("self.zzz", "E:undefined field 'zzz'"),
        ("zzz == 1", "E:undeclared reference to 'zzz' (in container '')"),
        ("self.s.nosuch()", "E:undeclared reference to 'nosuch' (in container '')"),
        ("self.n + 'a'", "E:found no matching overload for '_+_' applied to '(int, string)'"),
        ("self.s.startsWith(1)", "E:found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("self.n.all(x, true)", "E:expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("[1, 'a']", "E:expected type 'int' but found 'string'"),
        ("authorizer.path('x')", "E:undeclared reference"),
    ] {
        match (run(source), expected.strip_prefix("E:")) {
            (Ok(value), None) => assert_eq!(value, expected, "{source}"),
            (Err(why), Some(part)) => assert!(why.contains(part), "{source}: {why}"),
            (other, _) => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn errors_show_their_place() {
    assert_eq!(
        run("self.zzz > 1").unwrap_err(),
        "compilation failed: ERROR: <input>:1:5: undefined field 'zzz'\n | self.zzz > 1\n | ....^"
    );
}

#[test]
fn hostile_expressions_end() {
    let deep = format!("{}1{}", "(".repeat(8000), ")".repeat(8000));
    assert!(run(&deep).is_err());
    assert!(run(&vec!["1"; 9000].join("+")).is_err());
    assert!(run(&"!".repeat(15000)).is_err());
    assert!(run(&"-".repeat(15000)).is_err());
    assert!(run(&format!("{}1", "true ? 1 : ".repeat(1500))).is_err());
    assert!(run(&format!("self{}", ".o".repeat(8000))).is_err());
    let many = format!("[{}]", vec!["1"; 100].join(","));
    let endless = format!("{many}.all(a, {many}.all(b, {many}.all(c, {many}.all(d, {many}.all(e, a+b+c+d+e > 0)))))");
    assert_eq!(run(&endless).unwrap_err(), "operation cancelled: actual cost limit exceeded");
    let growing = "['aaaaaaaaaaaaaaaa'].map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a).map(a, a+a+a+a+a+a+a+a+a+a)";
    assert_eq!(run(growing).unwrap_err(), "operation cancelled: actual cost limit exceeded");
}

/// What the API server of 1.34.1 says of rules for an object with the fields of [`SPEC`]; nothing where it accepts them.
const COMPILED: &str = include_str!("../testdata/rules.json");

#[test]
fn errors_are_the_api_servers() {
    let spec = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "s": {"type": "string", "maxLength": 10},
        "l": {"type": "array", "maxItems": 5, "items": {"type": "integer"}},
        "m": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 5}}}});
    let ty = types::of_schema(&Schema::parse(&spec), false, "selfType").unwrap();
    let vars = BTreeMap::from([("self".to_owned(), ty.clone()), ("oldSelf".to_owned(), ty)]);
    let cases: Vec<(String, String)> = serde_json::from_str(COMPILED).unwrap();
    let mut wrong = Vec::new();
    for (rule, expected) in cases {
        let actual = match Program::compile(&rule, &vars) {
            Err(why @ CompileError::Compilation(_)) => why.to_string(),
            Err(why @ CompileError::Instantiation(_)) => format!("program {why}"),
            Ok(program) if *program.ty() != Type::Bool => "cel expression must evaluate to a bool".to_owned(),
            Ok(_) => String::new(),
        };
        if actual != expected {
            wrong.push(format!("{rule}\n--- expected\n{expected}\n--- actual\n{actual}\n"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
