//! Tests of queries: examples of Azure's documentation, and properties that hold for any query.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    bounds::{MAX_BYTES, MAX_DEPTH, MAX_GROUPS, MAX_ITEMS},
    condition::{Condition, Kind, Operand, Text},
    path::{NeededDocuments, Path},
    query::Query,
    select::Select,
    value::Comparison,
};

fn lamp() -> Value {
    json!({
        "deviceId": "lamp-1", "status": "enabled", "connectionState": "Connected", "version": 7,
        "tags": { "location": { "region": "US", "floor": 2 }, "my-tag": null, "big": 9_007_199_254_740_993_i64 },
        "properties": {
            "desired": { "interval": 5, "on": true },
            "reported": { "interval": 5.0, "battery": 0.4, "modes": ["dim"] },
        },
    })
}

fn matches(condition: &str) -> bool {
    Query::parse(&format!("SELECT * FROM devices WHERE {condition}")).unwrap().matches(&lamp())
}

fn refused(query: &str) -> String {
    Query::parse(query).unwrap_err().to_string()
}

#[test]
fn conditions_find_what_they_say() {
    for (condition, found) in [
        ("deviceId = 'lamp-1'", true),
        ("DEVICEID = \"lamp-1\"", true),
        ("deviceId != 'lamp-1'", false),
        ("deviceId <> 'lamp-2' AND status = 'enabled'", true),
        ("tags.location.region IN ['EU', 'US']", true),
        ("tags.location.region NIN ['EU', 'US']", false),
        ("properties.reported.interval = properties.desired.interval", true),
        ("properties.reported.battery < 0.5 and properties.reported.battery >= 4e-1", true),
        ("tags.location.floor > 1.5", true),
        ("tags.location.floor >= 0x2", true),
        ("tags.big = 9007199254740992", false),
        ("tags.location.floor = '2'", false),
        ("NOT tags.location.floor = '2'", false),
        ("tags.none = 'x' OR deviceId = 'lamp-1'", true),
        ("tags.none != 'x'", false),
        ("NOT (tags.none = 'x')", false),
        ("is_defined(tags.none)", false),
        ("NOT IS_DEFINED(tags.none)", true),
        ("IS_DEFINED(tags.my-tag) AND tags.[[my-tag]] = null", true),
        ("IS_NULL(tags.my-tag) AND IS_OBJECT(tags.location) AND IS_ARRAY(properties.reported.modes)", true),
        ("STARTS_WITH(deviceId, 'lamp') AND endswith(deviceId, '-1') AND CONTAINS(deviceId, 'mp')", true),
        ("properties.desired.on", true),
        ("properties.desired.on = true", true),
        ("deviceId", false),
        ("deviceId = 'it''s' OR deviceId = 'a\\'b' OR deviceId = '\\u006camp-1'", true),
        ("(deviceId = 'a' OR deviceId = 'lamp-1') AND version = 7", true),
        ("deviceId = 'lamp-1' OR deviceId = 'a' AND version = 8", true),
        ("version = -7", false),
        ("undefined = undefined", false),
        ("connectionState = 'Connected' AND connectionState < 'D'", true),
    ] {
        assert_eq!(matches(condition), found, "{condition}");
    }
}

#[test]
fn rows_have_the_columns_that_were_selected() {
    let row = |query| Query::parse(query).unwrap().row(lamp());
    assert_eq!(row("SELECT * FROM devices"), lamp());
    assert_eq!(
        row("select deviceId, tags.location.region AS where_, properties.reported.none from devices"),
        json!({ "deviceId": "lamp-1", "where_": "US" })
    );
    let needs = |query| Query::parse(query).unwrap().needs();
    assert_eq!(needs("SELECT deviceId FROM devices WHERE status = 'enabled'"), NeededDocuments::default());
    let reported = NeededDocuments { reported: true, ..NeededDocuments::default() };
    assert_eq!(needs("SELECT COUNT() AS n FROM devices WHERE properties.reported.battery < 1"), reported);
    assert_eq!(Query::parse("SELECT TOP 3 * FROM devices").unwrap().top(), Some(3));
}

#[test]
fn counts_are_of_all_or_of_each_group() {
    let twins: Vec<Value> = [Some("dim"), None, Some("dim"), Some("off")]
        .into_iter()
        .map(|mode| json!({ "properties": { "reported": mode.map_or(json!({}), |mode| json!({ "mode": mode })) } }))
        .collect();
    let count = |text: &str, twins: &[Value]| {
        let query = Query::parse(text).unwrap();
        let mut groups = query.groups().unwrap();
        twins.iter().filter(|twin| query.matches(twin)).for_each(|twin| groups.add(twin).unwrap());
        Value::from(groups.rows())
    };
    let all = "SELECT COUNT() AS numberOfDevices FROM devices";
    assert_eq!(count(all, &twins), json!([{ "numberOfDevices": 4 }]));
    assert_eq!(count(all, &[]), json!([{ "numberOfDevices": 0 }]));
    assert_eq!(count("SELECT COUNT() FROM devices", &twins), json!([{ "$1": 4 }]));
    let grouped =
        "SELECT properties.reported.mode AS mode, COUNT() AS n FROM devices GROUP BY properties.reported.mode";
    let rows = json!([{ "n": 1 }, { "mode": "dim", "n": 2 }, { "mode": "off", "n": 1 }]);
    assert_eq!(count(grouped, &twins), rows);
    assert_eq!(count(grouped, &[]), json!([]));
}

#[test]
fn groups_are_bounded() {
    let query = Query::parse("SELECT deviceId, COUNT() AS n FROM devices GROUP BY deviceId").unwrap();
    let mut groups = query.groups().unwrap();
    (0..MAX_GROUPS).for_each(|n| groups.add(&json!({ "deviceId": n })).unwrap());
    groups.add(&json!({ "deviceId": 0 })).unwrap();
    assert!(groups.add(&json!({ "deviceId": "one more" })).unwrap_err().is_limit());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (query, error) in [
        ("", "expected SELECT (at character 1)"),
        ("SELECT * FROM things", "expected devices (at character 15)"),
        ("SELECT * FROM devices.modules", "there are no modules and no jobs here"),
        ("SELECT * FROM devices WHERE deviceId == 'a'", "expected a name (at character 39)"),
        ("SELECT * FROM devices WHERE colour = 'a'", "devices have no property colour"),
        ("SELECT * FROM devices WHERE properties.wanted.a = 1", "there is no wanted"),
        ("SELECT * FROM devices WHERE deviceId = 'a", "a text has no end (at character 40)"),
        ("SELECT * FROM devices ORDER BY deviceId", "ORDER BY is not supported"),
        ("SELECT * FROM devices; DROP", "';' has no meaning in a query (at character 22)"),
        ("SELECT SUM(version) FROM devices", "SUM() cannot be selected"),
        ("SELECT deviceId, COUNT() AS n FROM devices", "deviceId is selected beside COUNT(), and not in GROUP BY"),
        ("SELECT tags.a.x, tags.b.x FROM devices", "two columns are called x"),
        ("SELECT * FROM devices GROUP BY status", "SELECT * does not go with GROUP BY"),
        ("SELECT * FROM devices WHERE MATCHES(deviceId, 'a')", "there is no function MATCHES"),
        ("SELECT TOP 0 * FROM devices", "TOP needs a whole number above 0"),
        ("SELECT * FROM devices WHERE version = 1.2.3", "1.2.3 is not a number"),
    ] {
        assert!(refused(query).contains(error), "{query}: {}", refused(query));
    }
}

#[test]
fn a_query_is_bounded_in_length_depth_and_items() {
    let conditions = [
        format!("deviceId = '{}'", "x".repeat(MAX_BYTES)),
        format!("{}status = 'a'", "NOT ".repeat(MAX_DEPTH + 1)),
        format!("{}status = 'a'{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1)),
        format!("version IN [{}1]", "1,".repeat(MAX_ITEMS)),
        format!("tags{} = 1", ".a".repeat(12)),
    ];
    for condition in conditions {
        let error = Query::parse(&format!("SELECT * FROM devices WHERE {condition}")).unwrap_err();
        assert!(error.is_limit(), "{error}");
    }
    assert!(matches(&format!("{}status = 'enabled'", "NOT ".repeat(MAX_DEPTH))));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b-c".to_owned()), "[^\\[\\]]{1,4}"]
}

fn path() -> impl Strategy<Value = Path> {
    let begin = prop_oneof![
        Just(vec!["tags"]),
        Just(vec!["properties", "desired"]),
        Just(vec!["properties", "reported"]),
        Just(vec!["deviceId"]),
    ];
    (begin, prop::collection::vec(name(), 0..3)).prop_map(|(begin, names)| {
        let names = begin.into_iter().map(str::to_owned).chain(names).collect();
        Path::new(names, 0).unwrap()
    })
}

fn constant() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-4_i8..4).prop_map(|n| json!(f64::from(n) / 2.0)),
        any::<String>().prop_map(Value::from),
    ]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        4 => path().prop_map(Operand::Path),
        4 => constant().prop_map(Operand::Constant),
        1 => Just(Operand::Undefined),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    prop::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual])
}

fn condition() -> impl Strategy<Value = Condition> {
    let list = prop::collection::vec(constant(), 1..4);
    let leaf = prop_oneof![
        (operand(), comparison(), operand()).prop_map(|(one, how, other)| Condition::Compare(one, how, other)),
        (operand(), list, any::<bool>()).prop_map(|(operand, list, negated)| Condition::In { operand, list, negated }),
        (prop::sample::select(vec![Kind::Defined, Kind::Null, Kind::Primitive]), operand())
            .prop_map(|(kind, operand)| Condition::Is(kind, operand)),
        (prop::sample::select(vec![Text::StartsWith, Text::EndsWith, Text::Contains]), operand(), operand())
            .prop_map(|(text, one, other)| Condition::Text(text, one, other)),
        operand().prop_map(Condition::Value),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

fn written(condition: &Condition) -> String {
    let all = |conditions: &[Condition], word: &str| {
        let each: Vec<_> = conditions.iter().map(|condition| format!("({})", written(condition))).collect();
        each.join(word)
    };
    match condition {
        Condition::And(conditions) => all(conditions, " AND "),
        Condition::Or(conditions) => all(conditions, " or "),
        Condition::Not(condition) => format!("NOT ({})", written(condition)),
        Condition::Compare(one, how, other) => {
            let sign = match how {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("{} {sign} {}", of_operand(one), of_operand(other))
        }
        Condition::In { operand, list, negated } => {
            let list: Vec<_> = list.iter().map(of_constant).collect();
            format!("{} {} [{}]", of_operand(operand), if *negated { "NIN" } else { "IN" }, list.join(","))
        }
        Condition::Is(kind, operand) => {
            let name = match kind {
                Kind::Defined => "IS_DEFINED",
                Kind::Null => "IS_NULL",
                _ => "IS_PRIMITIVE",
            };
            format!("{name}({})", of_operand(operand))
        }
        Condition::Text(text, one, other) => {
            let name = match text {
                Text::StartsWith => "STARTSWITH",
                Text::EndsWith => "ENDS_WITH",
                Text::Contains => "CONTAINS",
            };
            format!("{name}({}, {})", of_operand(one), of_operand(other))
        }
        Condition::Value(operand) => of_operand(operand),
    }
}

fn of_operand(operand: &Operand) -> String {
    match operand {
        Operand::Undefined => "undefined".into(),
        Operand::Constant(value) => of_constant(value),
        Operand::Path(path) => {
            let names: Vec<_> = path.names().iter().map(|name| format!("[[{name}]]")).collect();
            names.join(".")
        }
    }
}

fn of_constant(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn a_condition_that_is_written_is_read_as_the_same(condition in condition()) {
        let text = format!("SELECT * FROM devices WHERE {}", written(&condition));
        prop_assume!(text.len() <= MAX_BYTES);
        let query = Query::parse(&text).unwrap();
        prop_assert_eq!(&query.select, &Select::All);
        prop_assert_eq!(query.condition, Some(condition));
    }

    #[test]
    fn three_values_keep_the_laws_of_logic(one in condition(), other in condition()) {
        let not = |condition: &Condition| Condition::Not(Box::new(condition.clone()));
        let twin = lamp();
        prop_assert_eq!(not(&not(&one)).holds(&twin), one.holds(&twin));
        let both = not(&Condition::And(vec![one.clone(), other.clone()]));
        let either = Condition::Or(vec![not(&one), not(&other)]);
        prop_assert_eq!(both.holds(&twin), either.holds(&twin));
    }

    /// Documents that a query does not declare as needed do not change its result.
    #[test]
    fn a_query_looks_at_no_more_than_it_says(condition in condition()) {
        let needs = condition.needs();
        let mut twin = lamp();
        if !needs.tags {
            twin["tags"] = Value::Null;
        }
        if !needs.desired {
            twin["properties"]["desired"] = Value::Null;
        }
        if !needs.reported {
            twin["properties"]["reported"] = Value::Null;
        }
        prop_assert_eq!(condition.holds(&twin), condition.holds(&lamp()));
    }

    #[test]
    fn no_text_does_harm(text in "(SELECT|FROM|devices|WHERE|[a-z]+|COUNT\\(\\)|[\\[\\](),.*=<>'\"\\\\ 0-9-]|\\PC){0,40}") {
        if let Ok(query) = Query::parse(&text) {
            let (_, _) = (query.matches(&lamp()), query.row(lamp()));
        }
        let _ = Query::parse(&format!("SELECT * FROM devices WHERE {text}"));
    }
}
