//! Tells the core how old the user's audio is when it comes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::AgentSession;
use super::message::Command;
use super::room::Linked;
use super::session::Handle;
use crate::transport::Room;

/// Between two questions. The answer is the mean since the last one, so it is smooth; a question costs the media library about a millisecond.
const INTERVAL: Duration = Duration::from_secs(2);

/// Before the first one of a track: its jitter buffer has to settle.
const FIRST: Duration = Duration::from_secs(1);

/// What is taken off a wait at most. Audio that is older has gaps and jitter; and what the user has said since is not heard yet, so a longer
/// cut would be paid with interruptions.
const MOST: Duration = Duration::from_millis(100);

/// Until the session is over.
pub(super) async fn follow(
    room: Arc<dyn Room>,
    mut user: watch::Receiver<Linked>,
    session: Weak<Handle>,
    mut over: watch::Receiver<bool>,
) {
    let asking = async {
        let mut wait = FIRST;
        loop {
            let track = user.borrow_and_update().track.clone();
            let Some(sid) = track else {
                wait = FIRST;
                if user.changed().await.is_err() {
                    break;
                }
                continue;
            };
            tokio::select! {
                changed = user.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    wait = FIRST;
                    continue;
                }
                () = sleep(wait) => wait = INTERVAL,
            }
            // A room that does not know is no reason to answer later.
            let Ok(Ok(Some(age))) = timeout(INTERVAL, room.audio_age(&sid)).await else {
                continue;
            };
            let Some(inner) = session.upgrade() else {
                break;
            };
            let session = AgentSession { inner };
            if session.send(Command::AudioAge(age.min(MOST))).is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = over.wait_for(|&over| over) => {}
        () = asking => {}
    }
}
