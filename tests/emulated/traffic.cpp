/* Counts the sectors and bank turns of each load and store (traffic.h). */
#include "emulated/traffic.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

enum : size_t { LANES = 32, SECTOR = 32, BANK = 4, BANKS = 32 };

struct piece {
    unsigned lane;
    uintptr_t address;
    size_t bytes;
};

/* What the lanes of a warp do at one place for the n-th time. */
struct request {
    std::vector<piece> lanes;
    bool write, shared;
};

struct place_and_time {
    uint64_t place, who; /* who: the warp, and how often it was there */
    bool operator==(const place_and_time &other) const
    {
        return place == other.place && who == other.who;
    }
};

struct hash_of {
    size_t operator()(const place_and_time &key) const
    {
        return (key.place * 0x9e3779b97f4a7c15u ^ key.who) * 0xff51afd7ed558ccdu >> 7;
    }
};

bool nc_traffic_counting;
static std::map<std::string, nc_traffic> &kernels = *new std::map<std::string, nc_traffic>;
static nc_traffic *kernel;
static std::unordered_map<place_and_time, request, hash_of> requests; /* of this block */
static std::unordered_map<place_and_time, uint32_t, hash_of> visits;  /* by thread */
static std::unordered_set<uintptr_t> loaded, stored;                  /* sectors, of this launch */

/* Different units of `size` bytes that the pieces touch. */
static std::vector<uintptr_t> units(const piece *pieces, size_t count, size_t size)
{
    std::vector<uintptr_t> all;
    for (size_t i = 0; i < count; i++)
        for (uintptr_t unit = pieces[i].address / size;
             unit <= (pieces[i].address + pieces[i].bytes - 1) / size; unit++)
            all.push_back(unit);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

static void add_global(const request &r)
{
    nc_traffic::global &of = r.write ? kernel->store : kernel->load;
    std::vector<uintptr_t> sectors = units(r.lanes.data(), r.lanes.size(), SECTOR);
    of.requests++;
    of.bytes += units(r.lanes.data(), r.lanes.size(), 1).size();
    of.sectors += sectors.size();
    for (uintptr_t sector : sectors)
        if ((r.write ? stored : loaded).insert(sector).second)
            of.moved += SECTOR;
}

/* 8 bytes a lane go by half warps, 16 by quarters: each has its turns. */
static void add_shared(const request &r)
{
    size_t widest = 0;
    for (const piece &one : r.lanes)
        widest = std::max(widest, one.bytes);
    size_t together = widest <= 4 ? LANES : LANES * 4 / widest;
    kernel->shared.requests++;
    for (size_t i = 0; i < r.lanes.size(); i += together) {
        size_t words[BANKS] = {}, most = 0;
        std::vector<uintptr_t> all =
            units(r.lanes.data() + i, std::min(together, r.lanes.size() - i), BANK);
        for (uintptr_t word : all)
            most = std::max(most, ++words[word % BANKS]);
        kernel->shared.turns += most;
        kernel->shared.least += (all.size() + BANKS - 1) / BANKS;
    }
}

void nc_traffic_block(void)
{
    for (auto &one : requests) {
        request &r = one.second;
        std::sort(r.lanes.begin(), r.lanes.end(),
                  [](const piece &a, const piece &b) { return a.lane < b.lane; });
        if (r.shared)
            add_shared(r);
        else
            add_global(r);
    }
    requests.clear();
    visits.clear();
}

void nc_traffic_launch(const char *name)
{
    nc_traffic_block();
    loaded.clear();
    stored.clear();
    kernel = nc_traffic_counting ? &kernels[name] : nullptr;
    if (kernel)
        kernel->launches++;
}

void nc_traffic_access(const void *place, unsigned thread, uintptr_t address, size_t bytes,
                       bool write, bool shared, bool atomic)
{
    if (!kernel)
        return;
    if (atomic) {
        kernel->atomics += write;
        return;
    }
    uint64_t where = reinterpret_cast<uint64_t>(place) * 2 + write;
    uint32_t time = visits[{where, thread}]++;
    request &r = requests[{where, static_cast<uint64_t>(time) << 16 | thread / LANES}];
    r.write = write;
    r.shared = shared;
    r.lanes.push_back({thread % static_cast<unsigned>(LANES), address, bytes});
}

void nc_traffic_begin(void)
{
    kernels.clear();
    kernel = nullptr;
    nc_traffic_counting = true;
}

const std::map<std::string, nc_traffic> &nc_traffic_end(void)
{
    nc_traffic_block();
    nc_traffic_counting = false;
    kernel = nullptr;
    return kernels;
}
