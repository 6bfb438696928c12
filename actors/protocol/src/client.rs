//! The node's side for programs that may block: tools, examples and tests. A node itself uses tokio.

use std::{
    io,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{
    FromEngine, Hello, ToEngine,
    frame::{self, FrameError},
};

/// An engine process; it is killed when this is dropped.
#[derive(Debug)]
pub struct BlockingEngine {
    process: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    hello: Hello,
}

impl BlockingEngine {
    /// Starts an engine's executable and waits for its first message.
    ///
    /// # Errors
    /// When it cannot be started or says something else.
    pub fn start(executable: &Path) -> Result<Self, FrameError> {
        let mut process = Command::new(executable)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(mut output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        };
        match frame::read(&mut output)? {
            Some(FromEngine::Hello(hello)) => Ok(Self {
                process,
                input: Some(input),
                output,
                hello,
            }),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Identity of the engine.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Sends a message and waits for the answer.
    ///
    /// # Errors
    /// Any [`FrameError`]; the end of the engine is one of them.
    pub fn ask(&mut self, question: &ToEngine) -> Result<FromEngine, FrameError> {
        self.send(question)?;
        let answer = frame::read(&mut self.output)?;
        answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// Any [`FrameError`].
    pub fn send(&mut self, question: &ToEngine) -> Result<(), FrameError> {
        match &mut self.input {
            Some(input) => frame::write(input, question),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
        }
    }

    /// The pipe to the engine, for those who want to send something else than messages. Dropping it tells the
    /// engine to end.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Child {
        &mut self.process
    }
}

impl Drop for BlockingEngine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
