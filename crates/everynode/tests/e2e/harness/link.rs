//! The wire between a machine and the API server, as a port that can be cut and mended. While it is
//! cut nothing passes and nothing is refused: packets are lost, as they are on a real wire.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The threads of a link end with the test process, or when both ends have hung up.
pub(crate) struct Link {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: Mutex<bool>,
    mended: Condvar,
}

impl State {
    fn wait_until_mended(&self) {
        let is_cut = self.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.mended.wait_while(is_cut, |is_cut| *is_cut));
    }
}

impl Link {
    /// To the server at this port of this machine.
    pub(crate) fn to(server: u16) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let state = Arc::new(State::default());
        let wire = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let wire = wire.clone();
                std::thread::spawn(move || connect(&near, server, &wire));
            }
        });
        Link { port, state }
    }

    pub(crate) fn cut(&self) {
        *self.state.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    pub(crate) fn mend(&self) {
        *self.state.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.state.mended.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.mend();
    }
}

fn connect(near: &TcpStream, server: u16, wire: &Arc<State>) {
    wire.wait_until_mended();
    // A server that is down refuses; so does the link then, by hanging up.
    let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { return };
    let twins = near.try_clone().and_then(|near| Ok((near, far.try_clone()?)));
    let Ok((near_twin, far_twin)) = twins else { return };
    let back = wire.clone();
    std::thread::spawn(move || pass(&far_twin, &near_twin, &back));
    pass(near, &far, wire);
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, wire: &State) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut bytes) {
        wire.wait_until_mended();
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
