//! Numbered places, so that several orders can name a record without repeating its id.

/// Places that are allocated at once.
///
/// A vector that doubles would leave up to half of its memory empty, and now and then move all of it under its owner's lock. Chunks stay
/// where they are, and less than one of them is empty.
const CHUNK_PLACES: usize = 64;

/// Where a value lies until it is removed; afterwards another one may lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

/// Values by place. It keeps the memory of the most values that it ever held.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    /// How many places there are, taken and free.
    places: usize,
    free: Vec<Place>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), places: 0, free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(super) fn len(&self) -> usize {
        self.places - self.free.len()
    }

    pub(super) fn get(&self, Place(place): Place) -> Option<&T> {
        self.chunks.get(place / CHUNK_PLACES)?.get(place % CHUNK_PLACES)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.cell(place)?.as_mut()
    }

    pub(super) fn insert(&mut self, value: T) -> Place {
        if let Some(place) = self.free.pop()
            && let Some(cell) = self.cell(place)
        {
            *cell = Some(value);
            return place;
        }
        let place = Place(self.places);
        self.places += 1;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_PLACES => chunk.push(Some(value)),
            Some(_) | None => {
                let mut chunk = Vec::with_capacity(CHUNK_PLACES);
                chunk.push(Some(value));
                self.chunks.push(chunk);
            }
        }
        place
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        let value = self.cell(place)?.take()?;
        self.free.push(place);
        Some(value)
    }

    fn cell(&mut self, Place(place): Place) -> Option<&mut Option<T>> {
        self.chunks.get_mut(place / CHUNK_PLACES)?.get_mut(place % CHUNK_PLACES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_place_is_taken_again_and_no_other_moves() {
        let mut slab = Slab::default();
        let places: Vec<_> = (0..200).map(|value| slab.insert(value)).collect();
        assert_eq!((slab.remove(places[70]), slab.remove(places[70])), (Some(70), None));
        assert_eq!((slab.len(), slab.get(places[70])), (199, None));
        assert_eq!(slab.insert(1_000), places[70]);
        assert_eq!((slab.len(), slab.insert(200)), (200, Place(200)));
        let expected: Vec<_> = (0..200).map(|value| if value == 70 { 1_000 } else { value }).collect();
        let found: Vec<_> = places.iter().filter_map(|place| slab.get(*place).copied()).collect();
        assert_eq!(found, expected);
    }
}
