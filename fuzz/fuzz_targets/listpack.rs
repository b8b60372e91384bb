//! Hostile bytes as a listpack and as an intset: what passes the check must be readable from both ends and stay
//! sound under changes. The first byte chooses where the changes begin.
#![no_main]

use innkeep::value::intset::IntSet;
use innkeep::value::listpack::Listpack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else {
        return;
    };
    if let Ok(listpack) = Listpack::from_bytes_checked(bytes) {
        read(&listpack);
        change(listpack, usize::from(choice));
    }
    if let Ok(mut set) = IntSet::from_bytes_checked(bytes) {
        assert_eq!(set.iter().count(), set.len());
        for value in [0, i64::from(choice), i64::MIN] {
            let new = !set.contains(value);
            assert_eq!(set.insert(value), new);
            assert!(!new || set.remove(value));
        }
        assert!(set.iter().is_sorted());
    }
});

fn read(listpack: &Listpack) {
    let len = listpack.len();
    assert_eq!(listpack.iter().rev().count(), len);
    for (index, element) in listpack.iter().enumerate() {
        let position = listpack
            .seek(index as i64)
            .expect("an index below the length");
        assert_eq!(listpack.get(position), element);
        assert_eq!(listpack.seek(index as i64 - len as i64), Some(position));
        assert_eq!(element.to_vec().len(), element.len());
        if index > 64 {
            break;
        }
    }
    if let Some(first) = listpack.first() {
        for skip in 0..3 {
            listpack.find(b"needle", first, skip);
            listpack.find(b"1234", first, skip);
        }
    }
}

fn change(mut listpack: Listpack, choice: usize) {
    listpack.push_front(b"-4097");
    listpack.push_back(b"tail");
    let at = (choice % listpack.len()) as i64;
    let position = listpack.seek(at).expect("an index below the length");
    let position = listpack.replace(position, &[b'x'; 100][..choice % 100]);
    let position = listpack.insert_before(position, b"127");
    let position = listpack.insert_after(position, b"128");
    listpack.remove(position);
    let mut tail = listpack.split_off(listpack.seek(at).expect("it was not removed"));
    tail.remove_index_range(-3, 2);
    for listpack in [listpack, tail] {
        read(&listpack);
        Listpack::from_bytes_checked(listpack.as_bytes()).expect("changes keep a listpack sound");
    }
}
