//! Which writes fail, and which replacement is only seen.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use rustix::mm::{MprotectFlags, MremapFlags, ProtFlags, mmap, mprotect, mremap};

use super::*;

/// Every way to write the bytes in place.
fn writes_fail(image: &Image) {
    let (address, length) = image.place();
    let pointer = address as *mut std::ffi::c_void;
    assert!((&image.file).write_all(b"other").is_err(), "the descriptor was written");
    assert!(image.file.write_at(b"other", 0).is_err(), "the descriptor was written");
    assert!(image.file.set_len(0).is_err() && image.file.set_len(1 << 20).is_err(), "the size changed");
    let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    assert!(rustix::fs::fallocate(&image.file, hole, 0, 4096).is_err(), "a hole was made");
    assert!(fcntl_add_seals(&image.file, SealFlags::FUTURE_WRITE).is_err(), "seals changed");
    // A second way to the same memory.
    let path = format!("/proc/self/fd/{}", image.file.as_raw_fd());
    if let Ok(again) = OpenOptions::new().read(true).write(true).open(path) {
        assert!(again.write_at(b"other", 0).is_err(), "a second descriptor was written");
    }
    let shared = rustix::mm::MapFlags::SHARED;
    // SAFETY: the calls are expected to fail; a mapping that succeeded would be a new one.
    unsafe {
        let writable = ProtFlags::READ | ProtFlags::WRITE;
        assert!(mmap(null(), length, writable, shared, &image.file, 0).is_err(), "mapped writable");
        let other = mmap(null(), length, ProtFlags::READ, shared, &image.file, 0).unwrap();
        assert!(mprotect(other, length, MprotectFlags::READ | MprotectFlags::WRITE).is_err(), "made writable");
        munmap(other, length).unwrap();
        assert!(mprotect(pointer, length, MprotectFlags::READ | MprotectFlags::WRITE).is_err(), "made writable");
    }
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    assert!(memory.write_at(b"other", address as u64).is_err(), "/proc/self/mem was written");
}

fn null() -> *mut std::ffi::c_void {
    std::ptr::null_mut()
}

#[test]
fn no_descriptor_and_no_mapping_can_write_it() {
    let image = Image::new(b"rules").unwrap();
    writes_fail(&image);
    assert_eq!(image.as_ref(), b"rules");
    assert_eq!(image.stored().unwrap(), b"rules");
    assert!(Image::new(b"").is_err());
}

#[test]
fn another_mapping_in_its_place_is_seen_through_the_address_and_put_right() {
    let image = Image::new(b"rules").unwrap();
    let before = image.as_ref().as_ptr();
    let other = File::from(memfd_create("other", MemfdFlags::CLOEXEC).unwrap());
    other.write_all_at(b"wrong", 0).unwrap();
    mapping::map(&other, 5, Some(image.address)).unwrap();
    assert_eq!(image.as_ref(), b"wrong", "without mseal this cannot be stopped, only seen");
    assert_eq!(image.stored().unwrap(), b"rules");
    image.map_again().unwrap();
    assert_eq!((image.as_ref(), image.as_ref().as_ptr()), (&b"rules"[..], before));
    writes_fail(&image);
}

#[test]
fn a_sealed_mapping_cannot_be_replaced_moved_or_unmapped() {
    let image = Image::with(b"rules", Options { node: None, forever: true }).unwrap();
    if let MapSeal::Unavailable(why) = image.map_seal() {
        // Linux before 6.10: the seals of the memory hold all the same.
        eprintln!("mseal is not available here: {why}");
        return writes_fail(&image);
    }
    assert_eq!(image.map_seal(), &MapSeal::Sealed);
    writes_fail(&image);
    let (address, length) = image.place();
    let pointer = address as *mut std::ffi::c_void;
    let other = File::from(memfd_create("other", MemfdFlags::CLOEXEC).unwrap());
    other.write_all_at(b"wrong", 0).unwrap();
    assert!(mapping::map(&other, 5, Some(image.address)).is_err(), "replaced");
    assert!(image.map_again().is_err(), "replaced by itself");
    // SAFETY: the calls are expected to fail.
    unsafe {
        assert!(munmap(pointer, length).is_err(), "unmapped");
        assert!(mremap(pointer, length, 2 * 4096, MremapFlags::MAYMOVE).is_err(), "moved");
        assert!(mprotect(pointer, length, MprotectFlags::empty()).is_err(), "made unreadable");
    }
    drop(image);
    // SAFETY: a sealed mapping outlives its value.
    assert_eq!(unsafe { std::slice::from_raw_parts(address as *const u8, length) }, b"rules");
}

#[test]
fn pages_come_from_the_node_that_is_asked_for_and_a_node_that_is_not_there_is_no_error() {
    let bytes = vec![7; 64 << 10];
    let image = Image::with(&bytes, Options { node: Some(0), forever: false }).unwrap();
    let (address, _) = image.place();
    let page = address as *const std::ffi::c_void;
    let mut node: libc::c_int = -1;
    // SAFETY: without target nodes move_pages(2) only tells where the one page lies.
    let asked = unsafe { libc::syscall(libc::SYS_move_pages, 0, 1_usize, &raw const page, null(), &raw mut node, 0) };
    if asked == 0 {
        assert_eq!(node, 0);
    }
    for node in [NODE_NOT_THERE, u32::MAX] {
        let elsewhere = Image::with(&bytes, Options { node: Some(node), forever: false }).unwrap();
        assert_eq!(elsewhere.as_ref(), bytes);
    }
}

const NODE_NOT_THERE: u32 = 1_000;

#[test]
fn a_large_one_lies_where_huge_pages_can() {
    let bytes: Vec<u8> = (0..5_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let image = Image::new(&bytes).unwrap();
    assert_eq!(image.place().0 % crate::huge::HUGE_PAGE_BYTES, 0);
    assert!(image.as_ref() == bytes, "other bytes");
    image.map_again().unwrap();
    assert!(image.as_ref() == bytes, "other bytes");
}
