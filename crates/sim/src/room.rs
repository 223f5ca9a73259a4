//! The room of nodes, counted plainly from the objects: whole CPUs' thousandths, places, host
//! ports.

use std::collections::BTreeMap;

use everynode_api::quantity::Quantity;
use serde_json::Value;

/// What a pod takes of its node.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    node: String,
    millis: i64,
    ports: Vec<u64>,
}

/// What a node has.
#[derive(Clone, Copy, Debug)]
struct Size {
    millis: i64,
    places: i64,
}

/// All nodes and pods, as the commits say.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    nodes: BTreeMap<String, Size>,
    /// Of pods that are on a node and have not ended.
    parts: BTreeMap<String, Part>,
}

impl Rooms {
    /// Takes in a write to a node; empty: it is gone.
    pub(crate) fn node(&mut self, name: &str, value: &[u8]) {
        let node: Value = serde_json::from_slice(value).unwrap_or_default();
        match size(&node) {
            Some(size) => self.nodes.insert(name.to_owned(), size),
            None => self.nodes.remove(name),
        };
    }

    /// Takes in a write to a pod.
    ///
    /// # Errors
    /// It puts the pod on a node where there is no room for it.
    pub(crate) fn pod(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let pod: Value = serde_json::from_slice(value).unwrap_or_default();
        let Some(part) = part(&pod).filter(|part| !part.node.is_empty()) else {
            self.parts.remove(name);
            return Ok(());
        };
        let stays = self.parts.get(name).is_some_and(|before| before.node == part.node);
        self.parts.insert(name.to_owned(), part.clone());
        let Some(size) = self.nodes.get(&part.node).filter(|_| !stays) else { return Ok(()) };
        let here: Vec<&Part> = self.parts.values().filter(|other| other.node == part.node).collect();
        let problem = problem(*size, &here);
        problem.map_or(Ok(()), |problem| Err(format!("pod {name} is put on {}, where {problem}", part.node)))
    }
}

/// Whether the pod would fit on the node beside the pods that are there.
pub(crate) fn fits(node: &Value, pod: &Value, pods: &[Value]) -> bool {
    let (Some(size), Some(wanted)) = (size(node), part(pod)) else { return false };
    let there = pods.iter().filter_map(part);
    let mut here: Vec<Part> = there.filter(|other| other.node == node["metadata"]["name"]).collect();
    here.push(wanted);
    problem(size, &here.iter().collect::<Vec<_>>()).is_none()
}

fn problem(size: Size, here: &[&Part]) -> Option<String> {
    let millis: i64 = here.iter().map(|part| part.millis).sum();
    let mut ports: Vec<u64> = here.iter().flat_map(|part| part.ports.iter().copied()).collect();
    ports.sort_unstable();
    let twice = ports.windows(2).find(|two| two[0] == two[1]);
    match () {
        () if millis > size.millis => Some(format!("{millis} of {} thousandths of CPUs are taken then", size.millis)),
        () if here.len() as i64 > size.places => Some(format!("{} of {} places are", here.len(), size.places)),
        () => twice.map(|port| format!("host port {} is held twice then", port[0])),
    }
}

fn size(node: &Value) -> Option<Size> {
    let allocatable = &node["status"]["allocatable"];
    let amount = |name: &str| Quantity::from_json(&allocatable[name]).ok();
    allocatable.is_object().then_some(())?;
    Some(Size { millis: amount("cpu")?.milli_value(), places: amount("pods")?.value() })
}

/// `None`: it has ended, or is no pod.
fn part(pod: &Value) -> Option<Part> {
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let containers = pod["spec"]["containers"].as_array().filter(|_| !is_over)?;
    let millis = |container: &Value| Quantity::from_json(&container["resources"]["requests"]["cpu"]).ok();
    let ports = containers.iter().flat_map(|container| container["ports"].as_array().into_iter().flatten());
    Some(Part {
        node: pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned(),
        millis: containers.iter().filter_map(millis).map(Quantity::milli_value).sum(),
        ports: ports.filter_map(|port| port["hostPort"].as_u64()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn what_does_not_fit_is_found() {
        let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "pods": "3"}}});
        let pod = |cpu: &str, port: u16| {
            let resources = json!({"requests": {"cpu": cpu}});
            bytes(
                &json!({"spec": {"nodeName": "n", "containers": [{"resources": resources, "ports": [{"hostPort": port}]}]}}),
            )
        };
        let mut rooms = Rooms::default();
        assert_eq!(rooms.pod("x/early", &pod("9", 1)), Ok(()), "nothing is known of the node yet");
        rooms.pod("x/early", b"").unwrap();
        rooms.node("n", &bytes(&node));
        assert_eq!(rooms.pod("x/a", &pod("1500m", 80)), Ok(()));
        assert!(rooms.pod("x/b", &pod("1", 81)).unwrap_err().contains("2500 of 2000"));
        rooms.pod("x/b", b"").unwrap();
        assert!(rooms.pod("x/b", &pod("0", 80)).unwrap_err().contains("host port 80"));
        rooms.pod("x/b", b"").unwrap();
        rooms.pod("x/b", &pod("0", 81)).unwrap();
        rooms.pod("x/c", &pod("0", 82)).unwrap();
        assert!(rooms.pod("x/d", &pod("0", 83)).unwrap_err().contains("4 of 3 places"));
    }
}
