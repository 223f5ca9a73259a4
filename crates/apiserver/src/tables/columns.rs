//! Which columns each kind has, and which function fills them.

use everynode_api::kinds::Text;
use jiff::Timestamp;
use serde_json::Value;

use super::age::since;
use super::{kinds, node, pod};
use crate::custom::rows::CustomColumn;

/// One column; `priority` 1 is shown by `-o wide` only.
pub(crate) struct Column {
    pub(super) name: Text,
    pub(super) kind: Text,
    pub(super) format: Text,
    pub(super) description: Text,
    pub(super) priority: i32,
}

/// Fills the cells of an object's row at a time.
pub(super) enum Cells {
    BuiltIn(fn(&Value, Timestamp) -> Vec<Value>),
    /// The name, and what each of these columns finds.
    Custom(Vec<CustomColumn>),
}

/// How a kind is printed.
pub(crate) struct Printer {
    pub(super) columns: Vec<Column>,
    pub(super) cells: Cells,
    /// A condition of the row.
    pub(super) condition: fn(&Value) -> Option<Value>,
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically.";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. \
    Populated by the system. Read-only.";

/// Name and creation only.
impl Default for Printer {
    fn default() -> Printer {
        Printer::new("Name; Created At", kinds::plain)
    }
}

impl Printer {
    pub(super) fn new(text: &'static str, cells: fn(&Value, Timestamp) -> Vec<Value>) -> Printer {
        let columns = text.split("; ").map(Column::parse).collect();
        Printer { columns, cells: Cells::BuiltIn(cells), condition: |_| None }
    }

    /// The same, but that a column is of another format.
    pub(super) fn with_format(mut self, name: &str, format: &'static str) -> Printer {
        let named = self.columns.iter_mut().filter(|column| column.name == name);
        named.for_each(|column| column.format = format.into());
        self
    }

    /// The columns of a definition; without any, the age.
    pub(crate) fn custom(columns: Vec<CustomColumn>) -> Printer {
        if columns.is_empty() {
            return Printer::new("Name; Age", kinds::service_account);
        }
        let column = |column: &CustomColumn| {
            let own = |text: &str| Text::Owned(text.to_owned());
            let description = match column.description.as_str() {
                "" => format!("Custom resource definition column (in JSONPath format): {}", column.name),
                text => text.to_owned(),
            };
            Column {
                name: own(&column.name),
                kind: own(&column.kind),
                format: own(&column.format),
                description: description.into(),
                priority: column.priority,
            }
        };
        let shown = std::iter::once(Column::parse("Name")).chain(columns.iter().map(column)).collect();
        Printer { columns: shown, cells: Cells::Custom(columns), condition: |_| None }
    }

    /// The cells of an object's row.
    pub(super) fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.cells {
            Cells::BuiltIn(cells) => cells(object, now),
            Cells::Custom(columns) => {
                let cells = columns.iter().map(|column| cell(column, object, now));
                std::iter::once(kinds::name(object)).chain(cells).collect()
            }
        }
    }

    pub(crate) fn pods() -> Printer {
        Printer { condition: pod::condition, ..Printer::new(POD, pod::cells) }
    }

    pub(crate) fn nodes() -> Printer {
        Printer::new(NODE, node::cells)
    }

    pub(crate) fn daemon_sets() -> Printer {
        Printer::new(DAEMON_SET, kinds::daemon_set)
    }

    pub(crate) fn controller_revisions() -> Printer {
        Printer::new(REVISION, kinds::revision)
    }

    pub(crate) fn services() -> Printer {
        Printer::new(SERVICE, kinds::service)
    }

    pub(crate) fn endpoints() -> Printer {
        Printer::new("Name; Endpoints; Age", kinds::endpoints)
    }

    pub(crate) fn namespaces() -> Printer {
        Printer::new("Name; Status: The status of the namespace; Age", kinds::namespace)
    }

    pub(crate) fn config_maps() -> Printer {
        Printer::new("Name; Data; Age", kinds::config_map)
    }

    pub(crate) fn secrets() -> Printer {
        Printer::new("Name; Type; Data; Age", kinds::secret)
    }

    pub(crate) fn service_accounts() -> Printer {
        Printer::new("Name; Age", kinds::service_account)
    }

    pub(crate) fn events() -> Printer {
        Printer::new(EVENT, kinds::event)
    }

    pub(crate) fn leases() -> Printer {
        Printer::new("Name; Holder; Age", kinds::lease)
    }

    pub(crate) fn priority_classes() -> Printer {
        Printer::new(PRIORITY_CLASS, kinds::priority_class)
    }

    pub(crate) fn disruption_budgets() -> Printer {
        Printer::new(BUDGET, kinds::disruption_budget)
    }

    pub(crate) fn role_bindings() -> Printer {
        Printer::new(BINDING, kinds::role_binding)
    }
}

/// What a column of a definition shows; nothing where there is nothing, or of another type.
fn cell(column: &CustomColumn, object: &Value, now: Timestamp) -> Value {
    let Some(found) = column.path.first(object) else { return Value::Null };
    match (column.kind.as_str(), found) {
        (_, Value::Null) => Value::Null,
        ("integer", Value::Number(number)) => number.as_i64().or(number.as_f64().map(|float| float as i64)).into(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => found.clone(),
        ("string", other) => other.to_string().into(),
        ("date", Value::String(_)) => since(found, now).into(),
        _ => Value::Null,
    }
}

const POD: &str = "Name; Ready: The aggregate readiness state of this pod for accepting traffic.; \
Status: The aggregate status of the containers in this pod.; \
Restarts: The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.; \
Age; +IP; +Node; +Nominated Node; +Readiness Gates";
const NODE: &str = "Name; Status: The status of the node; Roles: The roles of the node; Age; \
Version: Kubelet Version reported by the node.; +Internal-IP; +External-IP; +OS-Image; +Kernel-Version; +Container-Runtime";
const DAEMON_SET: &str = "Name; #Desired: The total number of nodes that should be running the daemon pod.; \
#Current: The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod.; \
#Ready: The number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.; \
#Up-to-date: The total number of nodes that are running updated daemon pod; \
#Available: The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available.; \
Node Selector: The nodes that the pods of this set are limited to.; Age; \
+Containers: Names of each container in the template.; +Images: Images referenced by each container in the template.; \
+Selector: A label query over pods that are managed by the daemon set.";
const REVISION: &str = "Name; Controller: Controller of the object; \
Revision: Revision indicates the revision of the state represented by Data.; Age";
const SERVICE: &str = "Name; Type; Cluster-IP; External-IP; Port(s); Age; +Selector";
const EVENT: &str = "Last Seen: The last time this event was observed; Type; Reason; \
Object: The object that this event is about.; +Subobject; +Source; Message; \
+First Seen: The first time this event was observed; +Count; +Name";
const PRIORITY_CLASS: &str = "Name; #Value; ?Global-Default; Age; PreemptionPolicy";
const BUDGET: &str = "Name; Min Available; Max Unavailable; #Allowed Disruptions; Age";
const BINDING: &str = "Name; Role; Age; +Users; +Groups; +ServiceAccounts";

impl Column {
    /// `NAME: DESCRIPTION`, marked `+` (wide), `#` (integer) or `?` (boolean).
    fn parse(text: &'static str) -> Column {
        let (head, description) = text.split_once(": ").unwrap_or((text, ""));
        let name = head.trim_start_matches(['+', '#', '?']);
        let marks = &head[..head.len() - name.len()];
        let kind = match marks.trim_matches('+') {
            "#" => "integer",
            "?" => "boolean",
            _ if name == "Created At" => "date",
            _ => "string",
        };
        let (format, description) = match (name, description) {
            ("Name", "") => ("name", NAME),
            ("Created At", _) => ("", CREATED),
            ("Age", "") => ("", CREATED),
            (_, description) => ("", description),
        };
        Column {
            name: name.into(),
            kind: kind.into(),
            format: format.into(),
            description: description.into(),
            priority: i32::from(marks.contains('+')),
        }
    }
}
