"""Shapes, camera and light against closed forms."""

import numpy as np
import pytest

from rgbd_lib.datasets.synthetic import FIXTURES, LIGHTINGS, Plan, design, profiles, render_scene
from rgbd_lib.datasets.synthetic.camera import Camera
from rgbd_lib.datasets.synthetic.scenes import assemble, generator
from rgbd_lib.datasets.synthetic.sensor import clean_depth, expose, measure_depth
from rgbd_lib.datasets.synthetic.shapes import Convex, Lathe, Pose, Profile, rotation
from rgbd_lib.datasets.synthetic.surface import surfaces

CAMERA = Camera.looking(np.array([0.02, -0.6, 0.17]), yaw=0.03, pitch=0.16, size=(90, 120))
CENTRE, RADIUS = np.array([0.03, 0.02, 0.05]), 0.04


def sphere_depth(camera: Camera) -> np.ndarray:
    """z-depth of the ball in double precision, NaN beside it: |o + t d - c| = r."""
    d = camera.rays().astype(float)
    away = camera.origin - CENTRE
    a, b = (d**2).sum(0), np.tensordot(away, d, 1)
    root = b**2 - a * (away @ away - RADIUS**2)
    return np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.nan)


def z_buffer(solid: Convex | Lathe, camera: Camera) -> np.ndarray:
    z = np.full(camera.size, np.nan)
    hit = solid.meet(camera.origin, camera.rays())
    z.ravel()[hit.index] = hit.t
    return z


@pytest.mark.parametrize(
    "ball",
    [
        Convex(Pose(np.eye(3) * RADIUS, CENTRE)),
        Lathe(
            Pose(rotation("x", 0.7) * RADIUS, CENTRE),
            Profile.of(np.array([-1, 1]), lambda z: np.sqrt(1 - z**2)),
        ),
    ],
    ids=["closed form", "turned"],
)
def test_depth_of_a_ball_is_analytic(ball):
    exact, found = sphere_depth(CAMERA), z_buffer(ball, CAMERA)
    both = ~np.isnan(exact) & ~np.isnan(found)
    assert both.sum() > 150
    assert (np.isnan(exact) ^ np.isnan(found)).sum() <= 0.05 * both.sum()  # grazing rays only
    inside = both & (np.nan_to_num(exact, nan=9) < np.nanmin(exact) + 0.8 * RADIUS)
    assert np.abs(exact - found)[inside].max() < 1e-4


def test_normals_of_a_ball_point_away_from_its_centre():
    solid = Lathe(
        Pose(np.eye(3) * RADIUS, CENTRE), Profile.of(np.array([-1, 1]), lambda z: np.sqrt(1 - z**2))
    )
    hit = solid.meet(CAMERA.origin, CAMERA.rays())
    point = CAMERA.origin[:, None] + hit.t * CAMERA.rays().reshape(3, -1)[:, hit.index]
    expected = (point - CENTRE[:, None]) / RADIUS
    facing = (hit.local[2] > -0.9) & (hit.local[2] < 0.9)
    assert np.abs((hit.normal * expected).sum(0) - 1)[facing].max() < 1e-3


def test_a_cup_is_hollow_and_its_planes_cut():
    down = Camera(np.array([0.0, 0.0, 0.5]), np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1]]), (60, 80))
    cup = Lathe(Pose(np.eye(3) * 0.1, np.zeros(3)), profiles.cup(), samples=64)
    z = z_buffer(cup, down)
    _, cx, cy = down.intrinsics
    assert z[round(cy), round(cx)] == pytest.approx(0.5 - 0.007, abs=0.001)  # its floor, not its brim
    assert np.nanmin(z) == pytest.approx(0.4, abs=0.001)
    half = Convex(Pose(np.eye(3) * 0.1, np.zeros(3)), planes=(((0.0, 0.0, 1.0), 0.2),))
    assert np.nanmin(z_buffer(half, down)) == pytest.approx(0.5 - 0.02, abs=1e-5)


def test_projection_undoes_rays():
    rays = CAMERA.rays()
    for row, column in ((0, 0), (45, 60), (89, 3)):
        u, v, z = CAMERA.project(CAMERA.origin + 0.7 * rays[:, row, column])
        assert (u, v, z) == pytest.approx((column, row, 0.7), abs=1e-3)


def test_box_holds_the_ball():
    rows, columns = CAMERA.box(CENTRE, RADIUS)
    v, u = np.nonzero(~np.isnan(sphere_depth(CAMERA)))
    assert rows.start <= v.min() <= v.max() < rows.stop <= v.max() + 4
    assert columns.start <= u.min() <= u.max() < columns.stop <= u.max() + 4


def test_mirror_camera_sees_the_mirror_image():
    normal = np.array([0.2, -0.9, 0.1]) / np.linalg.norm([0.2, -0.9, 0.1])
    foot, point = np.array([0.1, 0.4, 0.0]), np.array([0.05, 0.1, 0.06])
    image = point - 2 * normal * (normal @ (point - foot))
    assert CAMERA.reflected(foot, normal).project(point) == pytest.approx(CAMERA.project(image))


@pytest.fixture(scope="module")
def lit():
    plan = next(p for p in design(324, 0) if 4 in p.classes and 3 in p.classes)
    return render_scene(plan, 0, (120, 160))


def test_light_is_linear(lit):
    _, linear = lit
    a, b = LIGHTINGS[1], LIGHTINGS[3]
    mixed = linear.radiance(a.mixed(b, 0.3))
    np.testing.assert_allclose(mixed, 0.7 * linear.radiance(a) + 0.3 * linear.radiance(b), atol=1e-5)
    np.testing.assert_allclose(linear.radiance(a.dimmed(2)), linear.radiance(a) / 4, atol=1e-6)


def test_dimmer_goes_from_the_lighting_to_black_without_a_step(lit):
    _, linear = lit
    light = LIGHTINGS[2]
    means = [expose(linear.radiance(light.dimmed(s)), light).mean() for s in np.linspace(0, 12, 13)]
    assert np.all(np.diff(means) < 0)
    assert means[0] > 0.3
    assert means[-1] < 0.01


def test_lamps_cast_shadows_to_their_far_side():
    plan = Plan(1, 1, 0, "train", (22,))
    scene, linear = render_scene(plan, 5, (120, 160))
    apple = np.array(scene.records[0]["centre"])
    lamp = np.array([-0.46, 0.26])
    away = (apple[:2] - lamp) / np.linalg.norm(apple[:2] - lamp)
    light = linear.diffuse[FIXTURES.index("left")]
    values = []
    for sign in (1, -1):
        u, v, _ = scene.camera.project(np.array([*(apple[:2] + sign * 0.06 * away), 0.0]))
        values.append(light[round(v), round(u)])
    assert values[0] < 0.5 * values[1]


def test_mirror_shows_what_is_in_front_of_it(lit):
    scene, linear = lit
    glass = linear.surface.part == scene.glass
    assert glass.sum() > 500
    assert (linear.seen_z[glass] > linear.surface.z[glass]).all()
    assert (linear.owner[glass] == scene.classes.index(4)).all()
    assert np.ptp(linear.seen_z[glass]) > 0.5  # near things and far ones, not one plane
    np.testing.assert_array_equal(linear.seen_z[~glass], linear.surface.z[~glass])


def test_fakes_are_flat_in_depth_and_round_in_colour(lit):
    scene, linear = lit
    clean = clean_depth(scene, linear)
    for k, record in enumerate(scene.records):
        own = linear.owner == k
        if record["fake"]:
            assert np.ptp(clean[own]) == 0
            assert np.ptp(linear.surface.z[own]) > 0.01
        elif record["kind"] == "lemon":
            np.testing.assert_array_equal(clean[own], linear.surface.z[own])


def test_depth_noise_is_unbiased_and_missing_is_zero(lit):
    scene, linear = lit
    clean = clean_depth(scene, linear)
    runs = np.stack([measure_depth(scene, linear, generator(0, "test", k)) for k in range(12)]).astype(float)
    calm = (runs > 0).all(0) & (linear.owner >= 0) & (runs.std(0) < 5)
    assert calm.sum() > 300
    assert np.abs((runs.mean(0) - clean * 1000)[calm]).mean() < 1.5
    assert 0.5 < np.median(runs.std(0)[calm]) < 4
    assert runs.max() <= 1500


def test_geometry_does_not_depend_on_the_image_size():
    plan = design(324, 0)[70]
    small, large = (assemble(plan, 0, size) for size in ((60, 80), (240, 320)))
    assert small.records == large.records
    a, b = surfaces(small, small.camera).z, surfaces(large, large.camera).z
    # pixel centres of the small image lie between those of the large one
    middle = b.reshape(60, 4, 80, 4)[:, 1:3, :, 1:3].mean(axis=(1, 3))
    assert np.median(np.abs(a - middle)) < 1e-3
