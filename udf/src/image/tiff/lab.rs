//! [`to_rgb`] converts CIE L*a*b* to sRGB with the arithmetic of Little CMS, which Pillow uses.

use std::sync::LazyLock;

/// The points of the grid in each direction.
const GRID: usize = 33;

/// sRGB, of 16 bits, at the points of a grid of L*, a* and b*; the last index is that of b*.
static NODES: LazyLock<Vec<[u16; 3]>> = LazyLock::new(|| {
    let level = |index: usize| (index as f64 * 65535.0 / (GRID - 1) as f64 + 0.5).floor() / 65535.0;
    let index = |node: usize| (node / (GRID * GRID), node / GRID % GRID, node % GRID);
    (0..GRID * GRID * GRID)
        .map(|node| {
            let (l, a, b) = index(node);
            node_to_rgb(level(l) * 100.0, level(a) * 255.0 - 128.0, level(b) * 255.0 - 128.0)
        })
        .collect()
});

/// Converts L* of 0 to 255, and a* and b*, to which 128 is added.
///
/// Little CMS computes a grid of colours, and interpolates in the tetrahedron whose corners surround the colour. Of all 2^24 colours,
/// 133 differ from Pillow's, by 1 level in a channel.
pub(super) fn to_rgb(lab: [u8; 3]) -> [u8; 3] {
    // The position in the grid, with 16 fractional bits.
    let positions = lab.map(|value| {
        let scaled = i64::from(value) * 257 * (GRID as i64 - 1);
        scaled + (scaled + 0x7fff) / 0xffff
    });
    let steps = [GRID * GRID, GRID, 1];
    let mut node: usize = positions.iter().zip(steps).map(|(position, step)| (position >> 16) as usize * step).sum();
    // From the lowest corner along the axes, that with the largest fraction first; the order of equal fractions has no effect.
    let mut axes = [0_usize, 1, 2];
    axes.sort_by_key(|&axis| -(positions[axis] & 0xffff));
    let start = NODES[node].map(i64::from);
    let (mut corner, mut sum) = (start, [0x8001_i64; 3]);
    for axis in axes {
        let fraction = positions[axis] & 0xffff;
        if fraction == 0 {
            // The next point of the last one is outside of the grid.
            break;
        }
        node += steps[axis];
        let next = NODES[node].map(i64::from);
        for (sum, (next, corner)) in sum.iter_mut().zip(next.iter().zip(corner)) {
            *sum += (next - corner) * fraction;
        }
        corner = next;
    }
    [0_usize, 1, 2].map(|channel| {
        let value = start[channel] + ((sum[channel] + (sum[channel] >> 16)) >> 16);
        ((value * 65281 + 8_388_608) >> 24) as u8
    })
}

/// Converts a colour of the white point D50.
fn node_to_rgb(l: f64, a: f64, b: f64) -> [u16; 3] {
    const WHITE: [f64; 3] = [0.9642, 1.0, 0.8249];
    // The inverse of the matrix of sRGB's primaries, adapted from D65 to D50 by the method of Bradford.
    const TO_LINEAR: [[f64; 3]; 3] = [
        [3.1341863642368195, -1.6172089589982759, -0.4906940640063842],
        [-0.9787485041906946, 1.9161300967735877, 0.033433399159995617],
        [0.07196392780224682, -0.22899387345320335, 1.4057537328964447],
    ];
    let y = (l + 16.0) / 116.0;
    let cubes = [y + 0.002 * a, y, y - 0.005 * b]
        .map(|root| if root <= 24.0 / 116.0 { (108.0 / 841.0) * (root - 16.0 / 116.0) } else { root * root * root });
    TO_LINEAR.map(|row| {
        let linear: f64 = (0..3).map(|axis| row[axis] * cubes[axis] * WHITE[axis]).sum();
        (to_srgb(linear).clamp(0.0, 1.0) * 65535.0 + 0.5).floor() as u16
    })
}

/// The transfer function of sRGB.
fn to_srgb(linear: f64) -> f64 {
    const LINEAR_END: f64 = 0.04045;
    if linear * 12.92 < LINEAR_END { linear * 12.92 } else { linear.powf(1.0 / 2.4) * 1.055 - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_pillow() {
        // Image.frombytes("LAB", (1, 1), …).convert("RGB"), where a* and b* are signed.
        let cases = [
            ([0, 128, 128], [1, 0, 1]),
            ([255, 128, 128], [254, 255, 254]),
            ([128, 128, 128], [119, 119, 119]),
            ([255, 0, 0], [0, 255, 255]),
            ([255, 255, 255], [255, 67, 0]),
            ([0, 0, 255], [0, 47, 0]),
            ([136, 208, 195], [250, 3, 11]),
            ([87, 171, 20], [0, 62, 255]),
            ([1, 128, 129], [3, 1, 1]),
            ([107, 222, 246], [230, 0, 0]),
            ([73, 29, 154], [0, 91, 18]),
            ([170, 199, 164], [255, 93, 103]),
            ([183, 234, 234], [255, 0, 0]),
            ([237, 220, 184], [255, 139, 135]),
            ([235, 3, 6], [0, 255, 255]),
        ];
        for (lab, rgb) in cases {
            assert_eq!(to_rgb(lab), rgb, "{lab:?}");
        }
    }
}
