//! What reads kubeconfigs, for the fuzzing targets: any bytes are read or refused, and never a
//! panic.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kube::config::Kubeconfig;
use serde_json::Value;

use crate::http_api::config;

/// Files of one `KUBECONFIG`.
const FILES_MAX: usize = 4;
/// Divides them here.
const DIVIDER: &str = "\n%%\n";

/// Files of a `KUBECONFIG`, divided by lines `%%`. Files and programs that they name are not
/// touched. What is written again is the same, where files say different things the first counts,
/// and none adds to itself.
pub fn kubeconfig(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let files: Result<Vec<Kubeconfig>, _> = text.split(DIVIDER).take(FILES_MAX).map(Kubeconfig::from_yaml).collect();
    let Ok(files) = files else { return };
    let first = files.first().and_then(|file| file.current_context.clone());
    let Ok(merged) = config::merge(files) else { return };
    assert!(first.is_none() || merged.current_context == first, "another file's context counts");
    let written = serde_json::to_value(&merged).unwrap_or_default();
    let again: Result<Kubeconfig, _> = serde_json::from_value(written.clone());
    let again = again.ok().and_then(|again| serde_json::to_value(again).ok());
    assert_eq!(again.as_ref(), Some(&written), "written again it is another one");
    let twice = config::merge(vec![merged.clone(), merged]).ok().and_then(|twice| serde_json::to_value(twice).ok());
    assert_eq!(twice.as_ref(), Some(&written), "it adds to itself");
    select(written);
}

/// Selects cluster and user, of a file that names nothing outside of it.
fn select(mut written: Value) {
    for (list, inner, names) in [
        ("clusters", "cluster", &["certificate-authority"][..]),
        ("users", "user", &["client-certificate", "client-key", "tokenFile", "exec", "auth-provider"][..]),
    ] {
        for entry in written[list].as_array_mut().into_iter().flatten() {
            let Some(entry) = entry.get_mut(inner).and_then(Value::as_object_mut) else { continue };
            names.iter().for_each(|name| drop(entry.remove(*name)));
        }
    }
    let Ok(file) = serde_json::from_value::<Kubeconfig>(written) else { return };
    let mut selected = pin!(config::select(file, None));
    // Nothing is waited for: no file is read.
    let polled = selected.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(_)), "something outside was waited for");
    if let Poll::Ready(Ok(config)) = polled {
        assert!(config.cluster_url.host().is_some(), "a server without a host: {}", config.cluster_url);
    }
}
