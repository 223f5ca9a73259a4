//! A storage plugin in miniature: a socket where the driver listens, a mount that must propagate to
//! the host, a registration socket, and a liveness check of the driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::web::{Reply, answer_unix, ask_unix, bind_unix, listen, serve_http};
use crate::{Args, Outcome, sys};

/// Mounts a tmpfs with one file on `dir`, which is made if it is missing.
fn mount_with_file(dir: &Path, file: &str, content: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    sys::mount_tmpfs(dir).map_err(failed)?;
    fs::write(dir.join(file), format!("{content}\n")).map_err(failed)?;
    println!("mounted {}", dir.display());
    Ok(())
}

/// Takes the mount and its empty directory away again; says what it could not do.
fn take_away(dir: &Path) {
    match sys::unmount(dir).and_then(|()| fs::remove_dir(dir)) {
        Ok(()) => println!("unmounted {}", dir.display()),
        Err(error) => println!("{}: {error}", dir.display()),
    }
}

pub(crate) fn mounter(args: &Args) -> Outcome {
    sys::remember_term();
    let dir = Path::new(args.word(0, "DIR")?);
    mount_with_file(dir, args.get_or("file", "hello"), args.get_or("content", "from the mounter"))?;
    sys::wait_for_term();
    take_away(dir);
    Ok(0)
}

fn socket_path(endpoint: &str) -> &Path {
    Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint))
}

pub(crate) fn driver(args: &Args) -> Outcome {
    sys::remember_term();
    let (socket, node) = (socket_path(args.required("endpoint")?), args.required("node-id")?);
    answer_unix(bind_unix(socket)?, format!("driver on {node}\n"));
    println!("csi-driver: listening on {} for node {node}", socket.display());
    let volume = PathBuf::from(args.get_or("pods-dir", "/var/lib/kubelet/pods")).join(format!("csi-{node}"));
    // Killed before it could clean up: the old mount is replaced, not stacked upon.
    while sys::unmount(&volume).is_ok() {}
    mount_with_file(&volume, "volume", &format!("published on {node}"))?;
    sys::wait_for_term();
    take_away(&volume);
    fs::remove_file(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
    Ok(0)
}

fn wait_for_driver(address: &Path) -> String {
    loop {
        match ask_unix(&address.to_string_lossy()) {
            Ok(answer) => return answer.trim_end().to_owned(),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The driver's name, which the real registrar asks the driver for, is the directory of its socket
/// here.
fn driver_name(kubelet_path: &Path) -> String {
    let dir = kubelet_path.parent().and_then(Path::file_name);
    dir.map_or_else(|| "driver".to_owned(), |name| name.to_string_lossy().into_owned())
}

pub(crate) fn registrar(args: &Args) -> Outcome {
    sys::remember_term();
    let kubelet_path = socket_path(args.required("kubelet-registration-path")?).to_owned();
    let address = socket_path(args.required("csi-address")?).to_owned();
    let registration = Path::new(args.get_or("plugin-registration-path", "/registration"))
        .join(format!("{}-reg.sock", driver_name(&kubelet_path)));
    let listener = bind_unix(&registration)?;
    thread::spawn(move || println!("csi-registrar: found {}", wait_for_driver(&address)));
    answer_unix(listener, format!("{}\n", kubelet_path.display()));
    println!("csi-registrar: registration socket {}", registration.display());
    sys::wait_for_term();
    fs::remove_file(&registration).map_err(|error| format!("{}: {error}", registration.display()))?;
    Ok(0)
}

pub(crate) fn liveness(args: &Args) -> Outcome {
    sys::exit_on_term();
    let address = socket_path(args.required("csi-address")?).to_string_lossy().into_owned();
    let listener = listen("0.0.0.0", args.number("health-port", 9808)?)?;
    println!("csi-liveness: driver answers: {}", wait_for_driver(Path::new(&address)));
    serve_http(&listener, move |_| match ask_unix(&address) {
        Ok(answer) => Reply::ok(answer),
        Err(error) => Reply::status(500, &error),
    })
}

#[cfg(test)]
mod tests {
    use super::{driver_name, socket_path};
    use std::path::Path;

    #[test]
    fn names_and_paths() {
        assert_eq!(socket_path("unix:///csi/csi.sock"), Path::new("/csi/csi.sock"));
        assert_eq!(socket_path("/csi/csi.sock"), Path::new("/csi/csi.sock"));
        assert_eq!(driver_name(Path::new("/var/lib/kubelet/plugins/x.io/csi.sock")), "x.io");
    }
}
