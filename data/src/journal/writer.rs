//! The committing thread: takes what waits, makes it one batch, and tells everyone.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use flightdeck_protocol::MissionId;

use super::{
    CommitSink, JournalError, Submission,
    queue::{Done, Entry, Queue, Work},
    record::{Chunk, chunk_key},
    stats::BatchSize,
};
use crate::store::{Space, Store, StoreError, Write};

/// Runs until the queue is closed and empty.
pub(super) fn run(store: &dyn Store, queue: &Arc<Queue>) {
    // Should this thread ever panic, nobody may wait for ever.
    let _guard = AbandonOnDrop(queue);
    let mut floors = HashMap::new();
    while let Some(entries) = queue.take_batch() {
        let batch = Batch::assemble(entries, &mut floors, queue.options.chunk_bytes);
        let outcome = match batch.writes.is_empty() {
            true => Ok(()),
            false => commit(store, &batch.writes).map_err(Arc::new),
        };
        match &outcome {
            Ok(()) if batch.writes.is_empty() => {}
            Ok(()) => queue.counters.batch_committed(batch.size),
            Err(error) => {
                queue.counters.batch_failed();
                tracing::error!(%error, writes = batch.writes.len(), "a commit failed");
                // Each of these missions has decided on a state that is lost.
                for (mission, generation) in batch.told.keys() {
                    raise(&mut floors, *mission, generation + 1);
                }
            }
        }
        batch.tell(outcome);
    }
}

struct AbandonOnDrop<'a>(&'a Queue);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        let gone = Arc::new(StoreError::Failed { what: "the journal's thread has ended".to_owned() });
        for entry in self.0.abandon() {
            if let Work::Submit(submission) = entry.work {
                call(submission.sink.as_ref(), submission.ticket, Err(Arc::clone(&gone)));
            }
        }
    }
}

fn commit(store: &dyn Store, writes: &[Write]) -> Result<(), StoreError> {
    catch_unwind(AssertUnwindSafe(|| store.commit(writes)))
        .unwrap_or_else(|_| Err(StoreError::Failed { what: "it panicked in a commit".to_owned() }))
}

/// The oldest generation of each mission whose submissions are taken.
type Floors = HashMap<MissionId, u64>;

fn raise(floors: &mut Floors, mission: MissionId, generation: u64) {
    let floor = floors.entry(mission).or_default();
    *floor = generation.max(*floor);
}

/// Somebody to tell, and up to which ticket.
struct Told {
    sink: Arc<dyn CommitSink>,
    up_to: u64,
}

/// What goes down together.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    told: HashMap<(MissionId, u64), Told>,
    refused: HashMap<(MissionId, u64), Told>,
    done: Vec<Done>,
    size: BatchSize,
}

impl Batch {
    fn assemble(entries: Vec<Entry>, floors: &mut Floors, chunk_bytes: usize) -> Self {
        let mut batch = Self::default();
        let mut chunks: HashMap<MissionId, Chunk> = HashMap::new();
        for entry in entries {
            match entry.work {
                Work::Submit(submission) => {
                    let floor = floors.get(&submission.mission).copied().unwrap_or(0);
                    if submission.generation < floor {
                        note(&mut batch.refused, &submission);
                    } else {
                        batch.add(submission, &mut chunks, chunk_bytes);
                    }
                }
                Work::Write { writes, done } => {
                    batch.size.entries += 1;
                    batch.writes.extend(writes);
                    batch.done.push(done);
                }
                // Answered with the batch: when it is down, so is all that was queued before.
                Work::TakeOver { mission, generation, done } => {
                    raise(floors, mission, generation);
                    batch.done.push(done);
                }
            }
        }
        for (mission, chunk) in chunks {
            batch.close_chunk(mission, chunk);
        }
        batch.size.bytes = batch.writes.iter().map(|write| write.size() as u64).sum();
        batch
    }

    fn add(&mut self, mut submission: Submission, chunks: &mut HashMap<MissionId, Chunk>, chunk_bytes: usize) {
        note(&mut self.told, &submission);
        self.size.entries += 1;
        for record in std::mem::take(&mut submission.records) {
            self.size.records += 1;
            let refused = match chunks.get_mut(&submission.mission) {
                Some(chunk) => chunk.try_push(&record, chunk_bytes).is_err(),
                None => true,
            };
            if refused && let Some(full) = chunks.insert(submission.mission, Chunk::new(&record)) {
                self.close_chunk(submission.mission, full);
            }
        }
        self.writes.append(&mut submission.extra);
    }

    fn close_chunk(&mut self, mission: MissionId, chunk: Chunk) {
        self.size.chunks += 1;
        self.writes.push(Write::put(Space::Records, chunk_key(mission, chunk.first_seq()), chunk.into_bytes()));
    }

    fn tell(self, outcome: Result<(), Arc<StoreError>>) {
        for told in self.told.values() {
            call(told.sink.as_ref(), told.up_to, outcome.clone());
        }
        for told in self.refused.values() {
            call(told.sink.as_ref(), told.up_to, Err(Arc::new(StoreError::Superseded)));
        }
        for done in self.done {
            // Whoever asked may have gone away meanwhile.
            let _ = done.send(outcome.clone().map_err(JournalError::Store));
        }
    }
}

fn note(told: &mut HashMap<(MissionId, u64), Told>, submission: &Submission) {
    told.entry((submission.mission, submission.generation))
        .and_modify(|told| told.up_to = told.up_to.max(submission.ticket))
        .or_insert_with(|| Told { sink: Arc::clone(&submission.sink), up_to: submission.ticket });
}

/// A panic of one mission's sink must not take the journal with it.
fn call(sink: &dyn CommitSink, up_to: u64, outcome: Result<(), Arc<StoreError>>) {
    if catch_unwind(AssertUnwindSafe(|| sink.committed(up_to, outcome))).is_err() {
        tracing::error!(up_to, "a mission's commit sink panicked");
    }
}
