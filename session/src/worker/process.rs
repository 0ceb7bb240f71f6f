//! A job's process, as the worker sees it: started, watched, asked to end, and killed if need be.
//!
//! One task owns the process and everything that is known about it. It ends when the process has ended, and its last event says how.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::child::JOB_PROCESS_VARIABLE;
use super::ipc::{Frame, read_frame, write_frame};
use super::options::{ProcessCommand, WorkerOptions, WorkerTiming, after};
use super::pool::{SlotCommand, SlotEvent};

/// A process that answers a ping later than this is warned of: the peer's value.
const SLOW_PONG: Duration = Duration::from_millis(500);
/// For writing one message to a process that reads nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// From the end of the job to the end of its process, in which libraries are unloaded.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two warnings about the same process's memory, and the growth that is worth another one: the peer's values.
const MEMORY_WARNING: (Duration, f64) = (Duration::from_secs(120), 50.0);
/// A line of a process's output that is longer is passed on in parts.
const MAX_LINE: usize = 64 << 10;

/// What every process of a worker has in common.
pub(crate) struct ProcessConfig {
    command: ProcessCommand,
    warn_mb: f64,
    limit_mb: f64,
    timing: WorkerTiming,
}

impl ProcessConfig {
    pub(crate) fn new(options: &WorkerOptions) -> std::io::Result<Self> {
        let command = match &options.process_command {
            Some(command) => command.clone(),
            None => ProcessCommand {
                program: std::env::current_exe()?,
                args: std::env::args_os().skip(1).collect(),
                env: Vec::new(),
            },
        };
        Ok(Self {
            command,
            warn_mb: options.job_memory_warn_mb,
            limit_mb: options.job_memory_limit_mb,
            timing: options.timing,
        })
    }
}

/// Starts a process and watches it to its end.
pub(crate) async fn supervise(
    config: Arc<ProcessConfig>,
    mut commands: mpsc::UnboundedReceiver<SlotCommand>,
    events: impl Fn(SlotEvent) + Send,
) {
    let (child, socket) = match spawn(&config.command) {
        Ok(spawned) => spawned,
        Err(error) => {
            events(SlotEvent::Failed(format!(
                "cannot start {}: {error}",
                config.command.program.display()
            )));
            events(SlotEvent::Gone);
            return;
        }
    };
    let (mut reader, writer) = socket.into_split();
    let (frames, mut incoming) = mpsc::channel(64);
    let reading = tokio::spawn(async move {
        while let Ok(Some(frame)) = read_frame(&mut reader).await {
            if frames.send(frame).await.is_err() {
                break;
            }
        }
    });
    let mut process = Supervised::new(&config, child, writer, &events);
    process.run(&mut commands, &mut incoming).await;
    reading.abort();
    events(SlotEvent::Gone);
}

/// What the process is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Initializing,
    Idle,
    /// The job was sent, and no word came yet that it runs.
    Starting,
    Running,
    /// It has no job any more, or never had one, and is about to end.
    Ending,
}

struct Supervised<'a, E> {
    config: &'a ProcessConfig,
    child: Child,
    pid: u32,
    writer: OwnedWriteHalf,
    events: &'a E,
    phase: Phase,
    /// When it is killed unless something happens before, and why.
    deadline: Option<(Instant, String)>,
    /// Why it was killed by us.
    killed: Option<String>,
    asked: bool,
    start: Instant,
    last_pong: Instant,
    warned: Option<(Instant, f64)>,
    label: watch::Sender<String>,
    last_line: Arc<Mutex<String>>,
    output: [tokio::task::JoinHandle<()>; 2],
}

impl<'a, E: Fn(SlotEvent)> Supervised<'a, E> {
    fn new(
        config: &'a ProcessConfig,
        mut child: Child,
        writer: OwnedWriteHalf,
        events: &'a E,
    ) -> Self {
        let pid = child.id().unwrap_or_default();
        let label = watch::Sender::new(format!("process {pid}"));
        let last_line = Arc::<Mutex<String>>::default();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let output = [
            tokio::spawn(pass_on(stdout, Stream::Out, label.subscribe(), None)),
            tokio::spawn(pass_on(
                stderr,
                Stream::Error,
                label.subscribe(),
                Some(last_line.clone()),
            )),
        ];
        let now = Instant::now();
        let limit = config.timing.initialize_process_timeout;
        Self {
            config,
            child,
            pid,
            writer,
            events,
            phase: Phase::Initializing,
            deadline: Some((after(limit), format!("it was not ready within {limit:?}"))),
            killed: None,
            asked: false,
            start: now,
            last_pong: now,
            warned: None,
            label,
            last_line,
            output,
        }
    }

    async fn run(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<SlotCommand>,
        frames: &mut mpsc::Receiver<Frame>,
    ) {
        (self.events)(SlotEvent::Spawned(self.pid));
        let timing = &self.config.timing;
        let mut pings = tokio::time::interval(timing.ping_interval);
        let mut memory = tokio::time::interval(timing.memory_interval);
        let mut open = true;
        let status = loop {
            let deadline = self.deadline.as_ref().map(|(at, _)| *at);
            tokio::select! {
                biased;
                frame = frames.recv(), if open => match frame {
                    Some(frame) => self.on_frame(frame),
                    None => {
                        // The socket closes as the process ends. One that closes it and lives on is of no use.
                        open = false;
                        self.set_deadline(EXIT_TIMEOUT, "it closed its connection to the worker");
                    }
                },
                status = self.child.wait() => break status,
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command).await,
                    None => self.kill("the worker ended".to_owned()),
                },
                () = until(deadline) => {
                    if let Some((_, why)) = self.deadline.take() {
                        self.kill(why);
                    }
                }
                _ = pings.tick(), if open && self.phase != Phase::Initializing => self.ping().await,
                _ = memory.tick() => self.look_at_memory(),
            }
        };
        // What was said before the end counts.
        while let Ok(frame) = frames.try_recv() {
            self.on_frame(frame);
        }
        self.after_exit(status.ok()).await;
    }

    fn on_frame(&mut self, frame: Frame) {
        match frame {
            Frame::Ready(_) if self.phase == Phase::Initializing => {
                self.phase = Phase::Idle;
                self.last_pong = Instant::now();
                if !self.asked {
                    self.deadline = None;
                    (self.events)(SlotEvent::Ready);
                }
            }
            Frame::InitializeFailed(error) => {
                (self.events)(SlotEvent::Failed(error));
                self.phase = Phase::Ending;
                self.set_deadline(EXIT_TIMEOUT, "it did not end");
            }
            Frame::Started(_) if self.phase == Phase::Starting => {
                self.phase = Phase::Running;
                (self.events)(SlotEvent::Started);
            }
            Frame::Pong(sent) => {
                self.last_pong = Instant::now();
                let sent = self.start + Duration::from_millis(sent);
                let delay = self.last_pong.saturating_duration_since(sent);
                if delay > SLOW_PONG {
                    tracing::warn!(pid = self.pid, ?delay, "a job's process answers slowly");
                }
            }
            Frame::ShuttingDown(_) => {
                let budget = self.config.timing.shutdown_budget();
                self.set_deadline(budget, "its shutdown did not end");
            }
            Frame::Ended(end) => {
                if matches!(self.phase, Phase::Starting | Phase::Running) {
                    (self.events)(SlotEvent::Ended(end.error.map_or(Ok(()), Err)));
                }
                self.phase = Phase::Ending;
                self.set_deadline(EXIT_TIMEOUT, "it did not end after its job");
            }
            frame => tracing::debug!(pid = self.pid, ?frame, "a message out of order"),
        }
    }

    async fn on_command(&mut self, command: SlotCommand) {
        match command {
            SlotCommand::Start(info) => {
                self.phase = Phase::Starting;
                self.label.send_replace(info.id().to_owned());
                self.send(Frame::Start(*info)).await;
            }
            SlotCommand::Shutdown(reason) => {
                if !std::mem::replace(&mut self.asked, true) {
                    let limit = self.config.timing.shutdown_process_timeout;
                    self.set_deadline(limit, "it took no notice of the shutdown");
                    self.send(Frame::Shutdown(reason)).await;
                }
            }
            SlotCommand::Kill(why) => self.kill(why),
        }
    }

    /// A message that cannot be written is a process that reads nothing, or that has ended: the pings or its end tell.
    async fn send(&mut self, frame: Frame) {
        let written =
            tokio::time::timeout(WRITE_TIMEOUT, write_frame(&mut self.writer, frame)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(pid = self.pid, %error, "cannot write to a job's process")
            }
            // Half a message may be on its way; nothing that follows could be read.
            Err(_) => self.kill("it reads nothing that the worker writes".to_owned()),
        }
    }

    async fn ping(&mut self) {
        let silence = self.last_pong.elapsed();
        let limit = self.config.timing.ping_timeout;
        if silence > limit {
            self.kill(format!(
                "it has not answered for {silence:.1?}, where {limit:?} are allowed"
            ));
            return;
        }
        let now = self.start.elapsed().as_millis() as u64;
        self.send(Frame::Ping(now)).await;
    }

    fn look_at_memory(&mut self) {
        let Some(used) = memory_mb(self.pid) else {
            return;
        };
        (self.events)(SlotEvent::Memory(used));
        let (warn, limit) = (self.config.warn_mb, self.config.limit_mb);
        if limit > 0.0 && used > limit {
            self.kill(format!(
                "it uses {used:.0} MB of memory, where {limit:.0} MB are allowed"
            ));
        } else if warn > 0.0 && used > warn {
            let again = self.warned.is_none_or(|(at, before)| {
                at.elapsed() > MEMORY_WARNING.0 || used > before + MEMORY_WARNING.1
            });
            if again {
                self.warned = Some((Instant::now(), used));
                tracing::warn!(
                    pid = self.pid,
                    used_mb = used,
                    warn_mb = warn,
                    "a job's process uses much memory"
                );
            }
        }
    }

    fn set_deadline(&mut self, time: Duration, why: &str) {
        self.deadline = Some((after(time), format!("{why} within {time:?}")));
    }

    fn kill(&mut self, why: String) {
        if self.killed.is_some() {
            return;
        }
        if self.phase != Phase::Ending {
            tracing::warn!(
                pid = self.pid,
                job = *self.label.borrow(),
                why,
                "a job's process is killed"
            );
        }
        self.killed = Some(why);
        self.deadline = None;
        // An error says that it has ended by itself.
        let _ = self.child.start_kill();
    }

    async fn after_exit(&mut self, status: Option<ExitStatus>) {
        kill_group(self.pid);
        for output in &mut self.output {
            // A grandchild that left the group may hold the pipe open.
            if tokio::time::timeout(EXIT_TIMEOUT, &mut *output)
                .await
                .is_err()
            {
                output.abort();
            }
        }
        let why = self.explain(status);
        match self.phase {
            Phase::Starting | Phase::Running => (self.events)(SlotEvent::Ended(Err(why))),
            Phase::Initializing if !self.asked => (self.events)(SlotEvent::Failed(why)),
            _ => {}
        }
    }

    fn explain(&self, status: Option<ExitStatus>) -> String {
        if let Some(why) = &self.killed {
            return format!("the job's process {} was killed: {why}", self.pid);
        }
        let how = match status {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with code {code}"),
                (_, Some(signal)) => format!("was ended by signal {signal}{}", signal_name(signal)),
                _ => "ended".to_owned(),
            },
            None => "ended".to_owned(),
        };
        let last_line = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match last_line.as_str() {
            "" => format!("the job's process {} {how}", self.pid),
            line => format!(
                "the job's process {} {how}; its last words: {line}",
                self.pid
            ),
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL; if not by hand, the system was out of memory)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Starts the program with one end of a socket as its standard input. Its own process group keeps a terminal's signals away: the worker decides
/// when a job ends.
fn spawn(command: &ProcessCommand) -> std::io::Result<(Child, UnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut std_command = std::process::Command::new(program(&command.program));
    std_command
        .args(&command.args)
        .env(JOB_PROCESS_VARIABLE, OsString::from("1"))
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = Command::from(std_command).kill_on_drop(true).spawn()?;
    Ok((child, UnixStream::from_std(ours)?))
}

/// The program, or the one that runs, if its file was replaced or removed while it runs.
fn program(path: &Path) -> PathBuf {
    let itself = Path::new("/proc/self/exe");
    if !path.exists() && itself.exists() {
        itself.to_owned()
    } else {
        path.to_owned()
    }
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // An error says that the group is empty, as it should be.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// Passes the lines of a process on, each with the id of its job, but for lines of JSON, which a prefix would break.
async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    to: Stream,
    label: watch::Receiver<String>,
    last_line: Option<Arc<Mutex<String>>>,
) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = tokio::io::AsyncReadExt::take(&mut from, MAX_LINE as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if let Some(last_line) = &last_line {
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                *last_line.lock().unwrap_or_else(PoisonError::into_inner) = text.trim().to_owned();
            }
        }
        if line.first() != Some(&b'{') {
            let prefix = format!("[{}] ", *label.borrow());
            line.splice(0..0, prefix.into_bytes());
        }
        let _ = printer().send((to, std::mem::take(&mut line))).await;
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Error,
}

/// Prints lines in a thread of its own: where they go may be slow, and then the processes wait, but not the worker.
fn printer() -> &'static mpsc::Sender<(Stream, Vec<u8>)> {
    static PRINTER: OnceLock<mpsc::Sender<(Stream, Vec<u8>)>> = OnceLock::new();
    PRINTER.get_or_init(|| {
        let (lines, mut to_print) = mpsc::channel::<(Stream, Vec<u8>)>(256);
        let print = move || {
            while let Some((stream, line)) = to_print.blocking_recv() {
                // A worker whose own output is closed goes on.
                let _ = match stream {
                    Stream::Out => std::io::stdout().write_all(&line),
                    Stream::Error => std::io::stderr().write_all(&line),
                };
            }
        };
        let thread = std::thread::Builder::new().name("job output".to_owned());
        if let Err(error) = thread.spawn(print) {
            tracing::error!(%error, "the output of jobs is lost");
        }
        lines
    })
}

/// Memory of a process in MB: its share of what it has in common with others counted in part, where the system tells that, else what is resident.
fn memory_mb(pid: u32) -> Option<f64> {
    let kilobytes = |file: &str, field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    if let Some(kb) = kilobytes("smaps_rollup", "Pss:").or_else(|| kilobytes("status", "VmRSS:")) {
        return Some(kb / 1024.0);
    }
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[pid]), true);
    Some(system.process(pid)?.memory() as f64 / f64::from(1 << 20))
}
