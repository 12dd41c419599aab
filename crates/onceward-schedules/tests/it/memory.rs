//! What holds of the memory store whoever goes first.

use std::time::Duration;

use onceward_core::record::{Decision, Epoch};
use onceward_store::{EntryFilter, MemoryLimits, Resolution, ResolutionChange, Store as _, StoreError};
use shuttle::{future::block_on, thread};

use crate::kit::{LEASE, RETENTION, Scene, answer, id, label, under_schedules};

fn all<T: 'static>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

// covers: L1, L2
#[test]
fn of_duplicates_one_runs_and_all_get_its_answer() {
    under_schedules(|| {
        let scene = Scene::new(MemoryLimits::default());
        let asked = |attempt| {
            let scene = scene.clone();
            thread::spawn(move || match scene.claim(1, attempt).unwrap() {
                Decision::Execute(attempt) => {
                    assert_eq!(scene.complete(1, attempt), Decision::Settled);
                    Some(attempt)
                }
                Decision::Wait { .. } | Decision::Replay { .. } => None,
                other => panic!("{other:?}"),
            })
        };
        let ran: Vec<_> = all((1..=3).map(asked).collect()).into_iter().flatten().collect();
        let [attempt] = ran[..] else { panic!("{ran:?} ran") };
        match scene.claim(1, 9).unwrap() {
            Decision::Replay { outcome, .. } => assert_eq!(outcome, Some(answer(attempt))),
            other => panic!("{other:?}"),
        }
    });
}

// covers: L14
#[test]
fn epochs_rise_and_no_two_are_alike() {
    under_schedules(|| {
        let scene = Scene::new(MemoryLimits::default());
        let granted = |number: u8| {
            let scene = scene.clone();
            thread::spawn(move || match scene.claim(number, number).unwrap() {
                Decision::Execute(attempt) => attempt.epoch,
                other => panic!("{other:?}"),
            })
        };
        let mut epochs: Vec<Epoch> = all((1..=3).map(granted).collect());
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), 3);
        let Decision::Execute(later) = scene.claim(4, 4).unwrap() else { panic!("a new key runs") };
        assert!(later.epoch > epochs[2]);
    });
}

// covers: L4, L13
#[test]
fn a_holder_that_ends_as_its_lease_does_is_swept_or_kept_whole() {
    under_schedules(|| {
        let scene = Scene::new(MemoryLimits::default());
        let Decision::Execute(attempt) = scene.claim(1, 1).unwrap() else { panic!("a new key runs") };
        scene.clock.advance(LEASE + Duration::from_secs(1));
        let (holder, sweeper, other) = (scene.clone(), scene.clone(), scene.clone());
        let ends = thread::spawn(move || holder.complete(1, attempt));
        let sweeps = thread::spawn(move || block_on(sweeper.store.sweep(10)).unwrap().doubted);
        let asks = thread::spawn(move || other.claim(1, 2).unwrap());
        assert_eq!(ends.join().unwrap(), Decision::Settled, "a late answer is kept");
        assert!(sweeps.join().unwrap() <= 1);
        let asked = asks.join().unwrap();
        assert!(matches!(asked, Decision::Refuse(_) | Decision::Replay { .. }), "{asked:?}");
        assert!(matches!(scene.claim(1, 3).unwrap(), Decision::Replay { .. }));
    });
}

// covers: T3, S1
#[test]
fn the_books_agree_with_what_is_held() {
    under_schedules(|| {
        let scene = Scene::new(MemoryLimits { records_max: 2, ..MemoryLimits::default() });
        let Decision::Execute(attempt) = scene.claim(1, 1).unwrap() else { panic!("a new key runs") };
        assert_eq!(scene.complete(1, attempt), Decision::Settled);
        scene.clock.advance(RETENTION + Duration::from_secs(1));
        let (sweeper, claimer, lister) = (scene.clone(), scene.clone(), scene.clone());
        let sweeps = thread::spawn(move || block_on(sweeper.store.sweep(10)).unwrap().forgotten);
        let claims = thread::spawn(move || [2, 3].map(|number| claimer.claim(number, number).is_ok()));
        let lists = thread::spawn(move || {
            block_on(lister.store.scan(EntryFilter::default(), None, 10)).unwrap().entries.len()
        });
        assert!(lists.join().unwrap() <= 3);
        let forgotten = sweeps.join().unwrap();
        let claimed = claims.join().unwrap().into_iter().filter(|claimed| *claimed).count() as u64;
        assert_eq!(scene.records(), 1 + claimed - forgotten);
        // All of it is counted: with the rest forgotten there is room for two, and for no third.
        block_on(scene.store.sweep(10)).unwrap();
        let held = scene.records();
        let admitted = (10..13).map(|number| scene.claim(number, number));
        let admitted = admitted.filter(|claimed| !matches!(claimed, Err(StoreError::Full { .. })));
        assert_eq!(admitted.count() as u64, 2_u64.saturating_sub(held));
    });
}

// covers: D3, A1
#[test]
fn a_verdict_and_an_answer_leave_one_word_and_no_one_waits_for_ever() {
    under_schedules(|| {
        let scene = Scene::new(MemoryLimits::default());
        let Decision::Execute(attempt) = scene.claim(1, 1).unwrap() else { panic!("a new key runs") };
        scene.clock.advance(LEASE + Duration::from_secs(1));
        block_on(scene.store.sweep(10)).unwrap();
        let (holder, person, lister) = (scene.clone(), scene.clone(), scene.clone());
        let ends = thread::spawn(move || holder.complete(1, attempt));
        let resolves = thread::spawn(move || {
            let change = ResolutionChange::Cancel { remember: RETENTION };
            let resolution = Resolution { id: id(1), change, label: label(1), audit: None };
            block_on(person.store.resolve(resolution)).unwrap()
        });
        let lists =
            thread::spawn(move || block_on(lister.store.scan(EntryFilter::default(), None, 10)).unwrap());
        ends.join().unwrap();
        resolves.join().unwrap();
        assert_eq!(lists.join().unwrap().entries.len(), 1);
        let asked = scene.claim(1, 2).unwrap();
        assert!(matches!(asked, Decision::Replay { .. }), "what is done is told: {asked:?}");
    });
}
