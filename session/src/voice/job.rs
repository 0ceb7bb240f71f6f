//! A conversation as all of a worker's job.

use super::agent::{Agent, BoxError};
use super::event::CloseReason;
use super::room::{RoomInputOptions, RoomOutputOptions};
use super::session::AgentSession;
use crate::transport::AutoSubscribe;
use crate::worker::JobContext;

impl JobContext {
    /// Joins the room, holds the conversation in it to its end, and ends the job. A job that ends before, because its worker ends or the server takes it
    /// back, closes the session before the room is left ([`AgentSession::aclose`]): the agent falls silent, in mid-sentence too. What was heard of it is stored, and
    /// what the user said last.
    ///
    /// For last words, call [`connect`](Self::connect) and [`AgentSession::start_in_room`] instead, return, and let
    /// [`add_session_close`](Self::add_session_close) say them, wait for [`AgentSession::drain`], and close.
    ///
    /// ```no_run
    /// # use listenkit_session::{Agent, AgentSession};
    /// # use listenkit_session::voice::{RoomInputOptions, RoomOutputOptions};
    /// # use listenkit_session::worker::{BoxError, JobContext};
    /// # struct Waiter;
    /// # impl Agent for Waiter {}
    /// async fn entrypoint(job: JobContext) -> Result<(), BoxError> {
    ///     let session = AgentSession::builder().build()?; // with vad, stt, llm, tts
    ///     job.run_session(&session, Waiter, RoomInputOptions::default(), RoomOutputOptions::default()).await
    /// }
    /// ```
    ///
    /// # Errors
    /// If the room cannot be joined, the session not be started, or an error ended it. Returned by the entrypoint, it makes the job one that failed.
    pub async fn run_session(
        &self,
        session: &AgentSession,
        agent: impl Agent + 'static,
        mut input: RoomInputOptions,
        output: RoomOutputOptions,
    ) -> Result<(), BoxError> {
        let connection = self.connect(AutoSubscribe::AudioOnly).await?;
        // The job leaves the room, after its other last words.
        input.leave_on_close = false;
        session
            .start_in_room(agent, connection, input, output)
            .await?;
        let closing = session.clone();
        self.add_session_close(async move |_| closing.aclose_for(CloseReason::JobShutdown).await);
        tokio::select! {
            biased;
            end = session.closed() => {
                self.shutdown(format!("the conversation is over: {:?}", end?));
            }
            _ = self.ended() => {}
        }
        Ok(())
    }
}
