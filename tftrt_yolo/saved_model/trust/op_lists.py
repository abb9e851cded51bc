"""TensorFlow's ops that keep state or have a telling name, sorted by whether they touch more than tensors.

    op_lists.HARMLESS, op_lists.SIDE_EFFECTS

The rule: an op that its definition calls stateful has side effects unless it stands in HARMLESS: variables, control
flow, random numbers, checks, tables and arrays in memory. So do the others in SIDE_EFFECTS, which are not called
stateful and read files, end the process, call Python, write through debuggers, or belong to data sets and machines that
no SavedModel of ours has. TRTEngineOp, which this TensorFlow may not know, runs TensorRT.

A test goes through the registry of the installed TensorFlow, 2.17.1 when these were written, and fails when a stateful
op or one with a telling name is in neither.
"""

import re

# Names of ops that are not stateful and may still have side effects, to look at when TensorFlow brings new ones.
TELLING = re.compile(
    r"File|Read|Write|Save|Restore|Shard|Checkpoint|PyFunc|Print|Summary|Summaries|Send|Recv|"
    r"Collective|Nccl|Rpc|Remote|CustomCall|CallModule|Snapshot|Dataset|Iterator|Reader|Record|"
    r"Abort|Debug|Vocab|ImmutableConst|Sleep|Tpu|TPU|TfLite|Kafka|Http|Url|Sql|LMDB|Lmdb|"
    r"DataService|Server|Session|Register|Dump|Copy|Mesh|Layout|XlaLaunch|XlaAllReduce|"
    r"Timestamp|FileSystem|Xla.*Reduce|Test|Stub|Outfeed|Infeed|Prelinearize|Batch$|"
    r"BatchFunction|Remap|Barrier|Queue|Accumulator"
)


def _ops(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Those of data sets are what signature `encoded` decodes in: a set of one element whose errors are ignored. What their
# functions do is in the graph's library, and is looked at like all of it.
# The two of TF-TRT bring engines that were built, from the SavedModel's assets, to TensorRT.
HARMLESS = _ops(
    """
    AccumulatorApplyGradient AccumulatorNumAccumulated AccumulatorSetGlobalStep AccumulatorTakeGradient
    AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable AnonymousMutableHashTableOfTensors
    Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp AudioSummary AudioSummaryV2 BarrierClose
    BarrierIncompleteSize BarrierInsertMany BarrierReadySize BarrierTakeMany Batch BatchFunction
    BoostedTreesMakeQuantileSummaries BoostedTreesMakeStatsSummary Case CheckNumerics CheckNumericsV2
    ConcatenateDataset CreateTRTResourceHandle CudnnRNN CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3
    CudnnRNNV2 CudnnRNNV3 DatasetToSingleElement DeepCopy DestroyResourceOp DeviceIndex DisableCopyOnRead Empty
    GuaranteeConst HashTable HashTableV2 HistogramSummary If IgnoreErrorsDataset ImageSummary InitializeTRTResource
    InitializeTableV2 LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2
    LookupTableRemoveV2 LookupTableSizeV2 MapDataset MergeSummary Multinomial MutableDenseHashTable
    MutableDenseHashTableV2 MutableHashTable MutableHashTableOfTensors MutableHashTableOfTensorsV2
    MutableHashTableV2 NonDeterministicInts ParameterizedTruncatedNormal QueueClose QueueDequeue QueueDequeueMany
    QueueDequeueUpTo QueueEnqueue QueueEnqueueMany QueueIsClosed QueueSize RandomCrop RandomGamma RandomPoisson
    RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt ReadVariableOp ResourceGather
    ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin ResourceScatterMul
    ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub ResourceScatterNdUpdate
    ResourceScatterSub ResourceScatterUpdate ResourceStridedSliceAssign RngReadAndSkip RngSkip
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScalarSummary SpaceToBatch
    SparseAccumulatorApplyGradient SparseAccumulatorTakeGradient Stack StackCloseV2 StackPopV2 StackPushV2 StackV2
    StatefulPartitionedCall StatefulRandomBinomial StatefulStandardNormal StatefulStandardNormalV2
    StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt StatelessRandomGetAlg
    TRTEngineOp TakeDataset TemporaryVariable TensorArray TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3
    TensorArrayGrad TensorArrayGradV2 TensorArrayGradV3 TensorArrayGradWithShape TensorArrayRead TensorArrayReadV2
    TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV2 TensorArrayV3
    TensorArrayWrite TensorArrayWriteV2 TensorArrayWriteV3 TensorDataset TensorListPushBackBatch TensorSummary
    TensorSummaryV2 TruncatedNormal VarHandleOp VarIsInitializedOp Variable VariableShape VariableV2 While
    XlaOptimizationBarrier XlaReduce XlaReducePrecision XlaReduceWindow XlaSharding XlaSpmdFullToShardShape
    XlaSpmdShardToFullShape XlaVariadicReduce XlaVariadicReduceV2 _Arg _CopyFromGpuToHost _CopyFromHostToGpu
    _DeviceArg _DeviceRetval _If _ReadVariablesOp _Retval _VarHandlesOp _While
    """
)

SIDE_EFFECTS = _ops(
    """
    Abort AddManySparseToTensorsMap AddSparseToTensorsMap AllCandidateSampler AllToAll AnonymousIterator
    AnonymousIteratorV2 AnonymousIteratorV3 AnonymousMemoryCache AnonymousMultiDeviceIterator
    AnonymousMultiDeviceIteratorV3 AnonymousRandomSeedGenerator AnonymousSeedGenerator AssertCardinalityDataset
    AssertNextDataset AssertPrevDataset AssignVariableXlaConcatND AutoShardDataset Barrier BatchDataset
    BatchDatasetV2 BoostedTreesCenterBias BoostedTreesCreateEnsemble BoostedTreesCreateQuantileStreamResource
    BoostedTreesDeserializeEnsemble BoostedTreesEnsembleResourceHandleOp BoostedTreesExampleDebugOutputs
    BoostedTreesFlushQuantileSummaries BoostedTreesGetEnsembleStates BoostedTreesPredict
    BoostedTreesQuantileStreamResourceAddSummaries BoostedTreesQuantileStreamResourceDeserialize
    BoostedTreesQuantileStreamResourceFlush BoostedTreesQuantileStreamResourceGetBucketBoundaries
    BoostedTreesQuantileStreamResourceHandleOp BoostedTreesSerializeEnsemble BoostedTreesTrainingPredict
    BoostedTreesUpdateEnsemble BoostedTreesUpdateEnsembleV2 BytesProducedStatsDataset CSVDataset CSVDatasetV2
    CacheDataset CacheDatasetV2 CalibrationStatisticsSaver ChooseFastestBranchDataset ChooseFastestDataset
    CloseSummaryWriter CollateTPUEmbeddingMemory CollectiveAllToAllV2 CollectiveAllToAllV3 CollectiveAssignGroupV2
    CollectiveBcastRecv CollectiveBcastRecvV2 CollectiveBcastSend CollectiveBcastSendV2 CollectiveGather
    CollectiveGatherV2 CollectiveInitializeCommunicator CollectivePermute CollectiveReduce CollectiveReduceScatterV2
    CollectiveReduceV2 CollectiveReduceV3 ComputeDedupDataSize ComputeDedupDataSizeV2 ComputeDedupDataTupleMask
    ComputeDedupDataTupleMaskV2 ConditionalAccumulator ConfigureAndInitializeGlobalTPU ConfigureDistributedTPU
    ConfigureTPUEmbedding ConfigureTPUEmbeddingHost ConfigureTPUEmbeddingMemory ConnectTPUEmbeddingHosts
    ConsumeMutexLock ConvertToCooTensor Copy CopyHost CopyOp CopyToMesh CopyToMeshGrad CreateSummaryDbWriter
    CreateSummaryFileWriter CrossReplicaSum CustomAggregator DTensorAllGather DTensorAllReduce DTensorAllScatter
    DTensorAllToAll DTensorReduceScatter DTensorRestoreV2 DTensorSetGlobalTPUArray DataServiceDataset
    DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 DatasetCardinality DatasetFingerprint
    DatasetFromGraph DatasetToGraph DatasetToGraphV2 DatasetToTFRecord DebugGradientIdentity
    DebugGradientRefIdentity DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary
    DebugNumericSummaryV2 DecodeProtoV2 DeleteIterator DeleteMemoryCache DeleteMultiDeviceIterator
    DeleteRandomSeedGenerator DeleteRpcFutureResource DeleteSeedGenerator DeleteSessionTensor
    DenseToSparseBatchDataset DeserializeIterator DevicePlacementOp DirectedInterleaveDataset DistributedSave
    DtypeWithDefaultOp DummyIterationCounter DummyMemoryCache DummySeedGenerator DumpTensor
    DynamicEnqueueTPUEmbeddingArbitraryTensorBatch DynamicEnqueueTPUEmbeddingRaggedTensorBatch EagerPyFunc
    EncodeProto EnqueueTPUEmbeddingArbitraryTensorBatch EnqueueTPUEmbeddingBatch EnqueueTPUEmbeddingIntegerBatch
    EnqueueTPUEmbeddingRaggedTensorBatch EnqueueTPUEmbeddingSparseBatch EnqueueTPUEmbeddingSparseTensorBatch
    ExecuteTPUEmbeddingPartitioner ExperimentalAssertNextDataset ExperimentalAutoShardDataset
    ExperimentalBytesProducedStatsDataset ExperimentalCSVDataset ExperimentalChooseFastestDataset
    ExperimentalDatasetCardinality ExperimentalDatasetToTFRecord ExperimentalDenseToSparseBatchDataset
    ExperimentalDirectedInterleaveDataset ExperimentalGroupByReducerDataset ExperimentalGroupByWindowDataset
    ExperimentalIgnoreErrorsDataset ExperimentalIteratorGetDevice ExperimentalLMDBDataset
    ExperimentalLatencyStatsDataset ExperimentalMapAndBatchDataset ExperimentalMapDataset
    ExperimentalMatchingFilesDataset ExperimentalMaxIntraOpParallelismDataset ExperimentalNonSerializableDataset
    ExperimentalParallelInterleaveDataset ExperimentalParseExampleDataset ExperimentalPrivateThreadPoolDataset
    ExperimentalRandomDataset ExperimentalRebatchDataset ExperimentalScanDataset
    ExperimentalSetStatsAggregatorDataset ExperimentalSleepDataset ExperimentalSlidingWindowDataset
    ExperimentalSqlDataset ExperimentalStatsAggregatorHandle ExperimentalStatsAggregatorSummary
    ExperimentalTakeWhileDataset ExperimentalThreadPoolDataset ExperimentalThreadPoolHandle
    ExperimentalUnbatchDataset ExperimentalUniqueDataset FIFOQueue FIFOQueueV2 FakeQueue FileSystemSetConfiguration
    FilterByLastComponentDataset FilterDataset FinalizeDataset FinalizeTPUEmbedding FinalizeTPUEmbeddingV2
    FixedLengthRecordDataset FixedLengthRecordDatasetV2 FixedLengthRecordReader FixedLengthRecordReaderV2
    FixedUnigramCandidateSampler FlatMapDataset FlushSummaryWriter GenerateVocabRemapping GeneratorDataset
    GetCalibrationDataOp GetMinibatchSplitsWithPhysicalReplica GetMinibatchesInCsrWithPhysicalReplica
    GetSessionHandle GetSessionHandleV2 GetSessionTensor GetTpuTaskId GlobalIterId GlobalShuffleDataset
    GraphDefVersion GroupByReducerDataset GroupByWindowDataset IdentityReader IdentityReaderV2 ImmutableConst
    ImportEvent IndexFlatMapDataset InfeedDequeue InfeedDequeueTuple InfeedEnqueue InfeedEnqueuePrelinearizedBuffer
    InfeedEnqueueTuple InitializeTableFromDataset InitializeTableFromTextFile InitializeTableFromTextFileV2
    InterleaveDataset IsBoostedTreesEnsembleInitialized IsBoostedTreesQuantileStreamResourceInitialized
    IsResourceHandleRefCounting IsTPUEmbeddingInitialized IsTensorFloat32Enabled Iterator IteratorFromStringHandle
    IteratorFromStringHandleV2 IteratorGetDevice IteratorGetModelProto IteratorGetNext IteratorGetNextAsOptional
    IteratorGetNextSync IteratorToStringHandle IteratorV2 LMDBDataset LMDBReader LatencyStatsDataset
    LearnedUnigramCandidateSampler LegacyParallelInterleaveDatasetV2 ListDataset ListSnapshotChunksDataset
    LoadAllTPUEmbeddingParameters LoadAndRemapMatrix LoadDataset LoadTPUEmbeddingADAMParameters
    LoadTPUEmbeddingAdadeltaParameters LoadTPUEmbeddingAdagradMomentumParameters LoadTPUEmbeddingAdagradParameters
    LoadTPUEmbeddingCenteredRMSPropParameters LoadTPUEmbeddingFTRLParameters
    LoadTPUEmbeddingFrequencyEstimatorParameters LoadTPUEmbeddingMDLAdagradLightParameters
    LoadTPUEmbeddingMomentumParameters LoadTPUEmbeddingProximalAdagradParameters
    LoadTPUEmbeddingProximalYogiParameters LoadTPUEmbeddingRMSPropParameters
    LoadTPUEmbeddingStochasticGradientDescentParameters LogUniformCandidateSampler MakeIterator
    MakeWeakResourceHandle MapAndBatchDataset MapClear MapIncompleteSize MapPeek MapSize MapStage MapUnstage
    MapUnstageNoKey MatchingFiles MatchingFilesDataset MaxIntraOpParallelismDataset MergeV2Checkpoints
    MlirPassthroughOp ModelDataset MultiDeviceIterator MultiDeviceIteratorFromStringHandle
    MultiDeviceIteratorGetNextFromShard MultiDeviceIteratorInit MultiDeviceIteratorToStringHandle MutexLock MutexV2
    Namespace>TestStringOutput NcclAllReduce NcclBroadcast NcclReduce NegTrain NonSerializableDataset
    OneShotIterator OptimizeDataset OptimizeDatasetV2 OptionsDataset OrderedMapClear OrderedMapIncompleteSize
    OrderedMapPeek OrderedMapSize OrderedMapStage OrderedMapUnstage OrderedMapUnstageNoKey OutfeedDequeue
    OutfeedDequeueTuple OutfeedDequeueTupleV2 OutfeedDequeueV2 OutfeedEnqueue OutfeedEnqueueTuple PaddedBatchDataset
    PaddedBatchDatasetV2 PaddingFIFOQueue PaddingFIFOQueueV2 ParallelBatchDataset ParallelFilterDataset
    ParallelInterleaveDataset ParallelInterleaveDatasetV2 ParallelInterleaveDatasetV3 ParallelInterleaveDatasetV4
    ParallelMapDataset ParallelMapDatasetV2 ParseExampleDataset ParseExampleDatasetV2 PrefetchDataset Prelinearize
    PrelinearizeTuple Print PrintV2 PriorityQueue PriorityQueueV2 PrivateThreadPoolDataset PyFunc PyFuncStateless
    QueueCloseV2 QueueDequeueManyV2 QueueDequeueUpToV2 QueueDequeueV2 QueueEnqueueManyV2 QueueEnqueueV2
    QueueIsClosedV2 QueueSizeV2 RandomDataset RandomDatasetV2 RandomShuffleQueue RandomShuffleQueueV2 RangeDataset
    ReadFile ReadVariableXlaSplitND ReaderNumRecordsProduced ReaderNumRecordsProducedV2 ReaderNumWorkUnitsCompleted
    ReaderNumWorkUnitsCompletedV2 ReaderRead ReaderReadUpTo ReaderReadUpToV2 ReaderReadV2 ReaderReset ReaderResetV2
    ReaderRestoreState ReaderRestoreStateV2 ReaderSerializeState ReaderSerializeStateV2 RebatchDataset
    RebatchDatasetV2 RecordInput Recv RecvTPUEmbeddingActivations ReduceDataset RegisterDataset RegisterDatasetV2
    RemoteCall RepeatDataset RequiresOlderGraphVersion ResourceAccumulatorApplyGradient
    ResourceAccumulatorNumAccumulated ResourceAccumulatorSetGlobalStep ResourceAccumulatorTakeGradient
    ResourceApplyAdaMax ResourceApplyAdadelta ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2
    ResourceApplyAdam ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp
    ResourceApplyFtrl ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum
    ResourceApplyMomentum ResourceApplyPowerSign ResourceApplyProximalAdagrad ResourceApplyProximalGradientDescent
    ResourceApplyRMSProp ResourceConditionalAccumulator ResourceCountUpTo ResourceCreateOp ResourceInitializedOp
    ResourceSparseApplyAdadelta ResourceSparseApplyAdagrad ResourceSparseApplyAdagradDA ResourceSparseApplyAdagradV2
    ResourceSparseApplyCenteredRMSProp ResourceSparseApplyFtrl ResourceSparseApplyFtrlV2
    ResourceSparseApplyKerasMomentum ResourceSparseApplyMomentum ResourceSparseApplyProximalAdagrad
    ResourceSparseApplyProximalGradientDescent ResourceSparseApplyRMSProp ResourceUsingOp Restore RestoreSlice
    RestoreV2 RetrieveAllTPUEmbeddingParameters RetrieveTPUEmbeddingADAMParameters
    RetrieveTPUEmbeddingAdadeltaParameters RetrieveTPUEmbeddingAdagradMomentumParameters
    RetrieveTPUEmbeddingAdagradParameters RetrieveTPUEmbeddingCenteredRMSPropParameters
    RetrieveTPUEmbeddingFTRLParameters RetrieveTPUEmbeddingFrequencyEstimatorParameters
    RetrieveTPUEmbeddingMDLAdagradLightParameters RetrieveTPUEmbeddingMomentumParameters
    RetrieveTPUEmbeddingProximalAdagradParameters RetrieveTPUEmbeddingProximalYogiParameters
    RetrieveTPUEmbeddingRMSPropParameters RetrieveTPUEmbeddingStochasticGradientDescentParameters RewriteDataset
    RiscWhile RpcCall RpcCheckStatus RpcClient RpcGetValue RpcServer RpcServerRegister RpcServerStart
    SamplingDataset Save SaveDataset SaveDatasetV2 SaveSlices SaveV2 ScanDataset Send SendTPUEmbeddingGradients
    SerializeIterator SerializeTRTResource SetStatsAggregatorDataset ShardDataset ShardedFilename ShardedFilespec
    ShuffleAndRepeatDataset ShuffleAndRepeatDatasetV2 ShuffleDataset ShuffleDatasetV2 ShuffleDatasetV3
    ShutdownDistributedTPU ShutdownTPUSystem SkipDataset Skipgram SleepDataset SleepIdentityOp SleepOp
    SlidingWindowDataset Snapshot SnapshotChunkDataset SnapshotDataset SnapshotDatasetReader SnapshotDatasetV2
    SnapshotNestedDatasetReader SparseConditionalAccumulator SparseTensorSliceDataset SqlDataset Stage StageClear
    StagePeek StageSize StatsAggregatorHandle StatsAggregatorHandleV2 StatsAggregatorSetSummaryWriter
    StatsAggregatorSummary StoreMinibatchStatisticsInFdo StubResourceHandleOp SummaryWriter SyncDevice
    TFRecordDataset TFRecordDatasetV2 TFRecordReader TFRecordReaderV2 TPUAnnotateTensorsWithDynamicShape
    TPUCompilationResult TPUCompile TPUCompileSucceededAssert TPUCopyWithDynamicShape TPUEmbeddingActivations
    TPUExecute TPUExecuteAndUpdateVariables TPUOrdinalSelector TPUPartitionedCall TPUPartitionedInput
    TPUPartitionedInputV2 TPUPartitionedOutput TPUPartitionedOutputV2 TPUReplicateMetadata TPUReplicatedInput
    TPUReplicatedOutput TPUReshardVariables TPURoundRobin TakeManySparseFromTensorsMap TakeWhileDataset
    TensorSliceDataset TestAttr TestStringOutput TextLineDataset TextLineReader TextLineReaderV2
    TfLiteSubgraphExecute ThreadPoolDataset ThreadPoolHandle ThreadUnsafeUnigramCandidateSampler Timestamp
    TpuHandleToProtoKey UnbatchDataset UniformCandidateSampler UniqueDataset Unstage UnwrapDatasetVariant
    UpdateTaskIdAndGlobalCoreArray WeightedFlatMapDataset WholeFileReader WholeFileReaderV2 WindowDataset
    WorkerHeartbeat WrapDatasetVariant WriteAudioSummary WriteFile WriteGraphSummary WriteHistogramSummary
    WriteImageSummary WriteRawProtoSummary WriteScalarSummary WriteSummary XlaAllReduce XlaCallModule XlaCustomCall
    XlaCustomCallV2 XlaDequantize XlaHostCompute XlaIf XlaLaunch XlaLaunchV2 XlaRecv XlaRecvFromHost
    XlaRecvTPUEmbeddingActivations XlaRecvTPUEmbeddingActivationsV2 XlaRecvTPUEmbeddingDeduplicationData
    XlaRecvTPUEmbeddingDeduplicationDataV2 XlaReduceScatter XlaSend XlaSendTPUEmbeddingGradients
    XlaSendTPUEmbeddingGradientsV2 XlaSendToHost XlaSparseCoreAdagrad XlaSparseCoreAdagradMomentum XlaSparseCoreAdam
    XlaSparseCoreFtrl XlaSparseCoreSgd XlaWhile ZipDataset _ConfigureDistributedTPU
    _DisconnectHostFromDistributedTPUSystem _HostRecv _HostSend _InitializeHostForDistributedTPU _NcclBroadcastRecv
    _NcclBroadcastSend _NcclReduceRecv _NcclReduceSend _ParallelConcatStart _Recv _ScopedAllocator
    _ScopedAllocatorConcat _ScopedAllocatorSplit _Send _SetGlobalTPUArray _ShutdownDistributedTPU _TPUCompileMlir
    _TPUReplicate _WaitForDistributedTPU _XlaAotOnlyVarHandleOp _XlaCompile _XlaCompileMlirPlaceholderProgramKey
    _XlaHostComputeMlir _XlaRecvAtHost _XlaRecvAtHostV2 _XlaRun _XlaSendFromHost _XlaSendFromHostV2
    """
)
